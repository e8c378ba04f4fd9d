//! Rates of cards, for rooflines: what the hardware could do at best.

/// What a card can do in a second, and of what it is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Card {
    /// Name for `--gpu`.
    pub name: &'static str,
    /// Streaming multiprocessors.
    pub sms: f64,
    /// Clock of the SMs, Hz.
    pub clock: f64,
    /// Memory that a copy moves, bytes a second.
    pub bandwidth: f64,
    /// f32 operations outside tensor cores, a multiply-add counting two.
    pub flop: f64,
    /// bf16 and f16 operations of tensor cores with f32 sums.
    pub mma_flop: f64,
    /// Where the rates come from.
    pub source: &'static str,
}

/// Results of special functions (ex2, lg2, rcp ...) a clock and SM.
const SPECIAL_PER_CLOCK: f64 = 16.0;
/// Wavefronts of shared memory, 128 bytes each, a clock and SM.
const WAVEFRONTS_PER_CLOCK: f64 = 1.0;
/// Warp instructions issued a clock and SM.
const ISSUE_PER_CLOCK: f64 = 4.0;

/// Every card that `--gpu` names.
pub const CARDS: &[Card] = &[
    Card {
        name: "h200",
        sms: 132.0,
        clock: 1.98e9,
        bandwidth: 4.3e12,
        flop: 67e12,
        mma_flop: 790e12,
        source: "copy and bf16 product rates as measured by others on such a card, the rest from \
                 NVIDIA's H200 data sheet",
    },
    Card {
        name: "a100",
        sms: 108.0,
        clock: 1.41e9,
        bandwidth: 1.7e12,
        flop: 19.5e12,
        mma_flop: 250e12,
        source: "NVIDIA's A100 80 GB data sheet, copies and products at about 0.8 of it",
    },
];

/// Whether a driver's product name is the interpreter's.
pub fn is_interpreted(product: &str) -> bool {
    product.starts_with("Emulated")
}

impl Card {
    /// The card of a driver's product name, such as `NVIDIA H200`.
    pub fn of_product(product: &str) -> Option<&'static Card> {
        let product = product.to_ascii_lowercase();
        CARDS.iter().find(|card| product.contains(card.name))
    }

    /// Special functions a second.
    pub fn special(&self) -> f64 {
        self.sms * self.clock * SPECIAL_PER_CLOCK
    }

    /// Wavefronts of shared memory a second.
    pub fn wavefronts(&self) -> f64 {
        self.sms * self.clock * WAVEFRONTS_PER_CLOCK
    }

    /// Warp instructions a second.
    pub fn issue(&self) -> f64 {
        self.sms * self.clock * ISSUE_PER_CLOCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_known_by_its_chip() {
        let name = |product| Card::of_product(product).map(|card| card.name);
        assert_eq!(name("NVIDIA H200"), Some("h200"));
        assert_eq!(name("NVIDIA A100-SXM4-80GB"), Some("a100"));
        assert_eq!(name("some GPU"), None);
    }
}
