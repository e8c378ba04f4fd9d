//! What `ptxas -v` prints: the resources of each entry, and messages with their lines.
//!
//! The form is that of release 13.0, which has been the same for years:
//!
//! ```text
//! ptxas kernels/op/a.ptx, line 6; error   : Unknown symbol '%x'
//! ptxas warning : Registers are spilled to local memory in function 'a', 8 bytes spill stores, ...
//! ptxas info    : Compiling entry function 'a' for 'sm_80'
//! ptxas info    : Function properties for a
//!     64 bytes stack frame, 8 bytes spill stores, 8 bytes spill loads
//! ptxas info    : Used 24 registers, used 1 barriers, 64 bytes cumulative stack size, 128 bytes smem
//! ```

/// The resources of one entry.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Registers of a thread.
    pub registers: u32,
    /// Static shared memory of a block, in bytes.
    pub shared: u32,
    /// Local memory of a thread, in bytes: the stack, spilled registers included.
    pub local: u32,
    /// Bytes stored for spilled registers.
    pub spill_stores: u32,
    /// Bytes loaded for spilled registers.
    pub spill_loads: u32,
    /// Lines that compute in f64. The assembler tells them by line and not by entry, so this is
    /// filled in by whoever knows where the entries are.
    pub doubles: u32,
    /// Barriers of a block.
    pub barriers: u32,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Line in the PTX file, where one is named.
    pub line: Option<usize>,
    /// What it says.
    pub text: String,
}

/// What one run of the assembler said.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Every entry that was compiled to the end.
    pub entries: Vec<(String, Usage)>,
    /// Errors, warnings, and remarks on lost performance.
    pub messages: Vec<Message>,
}

impl Message {
    /// Whether it tells of a line that computes in f64.
    pub fn is_double(&self) -> bool {
        self.text.contains("double precision")
    }
}

impl Listing {
    /// Reads everything that the assembler printed.
    pub fn parse(output: &str) -> Self {
        let mut listing = Self::default();
        // The entry that is being compiled, until its `Used` line ends it.
        let mut open: Option<(String, Usage)> = None;
        for line in output.lines() {
            let Some((severity, place, text)) = head(line) else {
                // A line that goes on: only that of the stack matters, and only of an open entry,
                // since the properties of plain functions are printed in the same form.
                if let Some((_, usage)) = &mut open {
                    usage.take(line);
                }
                continue;
            };
            if severity != "info" {
                listing.messages.push(Message { line: place, text: text.to_owned() });
            } else if let Some(rest) = text.strip_prefix("Compiling entry function '") {
                let name = rest.split('\'').next().unwrap_or_default();
                open = Some((name.to_owned(), Usage::default()));
            } else if let Some(used) = text.strip_prefix("Used ") {
                if let Some((name, mut usage)) = open.take() {
                    usage.take(used);
                    listing.entries.push((name, usage));
                }
            } else if text.contains("Performance Loss") {
                listing.messages.push(Message { line: place, text: text.to_owned() });
            }
        }
        listing
    }
}

impl Usage {
    /// Takes the parts that it knows from `64 bytes stack frame, 8 bytes spill stores, ...`.
    fn take(&mut self, parts: &str) {
        for part in parts.split(',') {
            let words = part.trim().strip_prefix("used ").unwrap_or(part.trim());
            let Some((number, what)) = words.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u32>() else { continue };
            match what {
                "registers" => self.registers = number,
                "barriers" => self.barriers = number,
                "bytes smem" => self.shared = number,
                "bytes spill stores" => self.spill_stores = number,
                "bytes spill loads" => self.spill_loads = number,
                "bytes stack frame" | "bytes cumulative stack size" | "bytes lmem" => {
                    self.local = self.local.max(number);
                }
                _ => {}
            }
        }
    }
}

/// Severity, line and text of `ptxas [FILE, line N; ]SEVERITY : TEXT`.
fn head(line: &str) -> Option<(&str, Option<usize>, &str)> {
    let rest = line.strip_prefix("ptxas ")?;
    let (left, text) = rest.split_once(" : ").or_else(|| rest.split_once(": "))?;
    let (place, severity) = match left.rsplit_once(';') {
        Some((place, severity)) => (place.rsplit_once(" line "), severity),
        None => (None, left),
    };
    let severity = severity.trim();
    let known = ["info", "warning", "error", "fatal"].contains(&severity);
    let line = place.and_then(|(_, line)| line.trim().parse().ok());
    known.then(|| (severity, line, text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPILLED: &str = "\
ptxas error   : Local memory used for function 'spill_v1_u32', size of stack frame: 176 bytes
ptxas error   : Registers are spilled to local memory in function 'spill_v1_u32', 200 bytes spill stores, 204 bytes spill loads
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'spill_v1_u32' for 'sm_80'
ptxas info    : Function properties for spill_v1_u32
    176 bytes stack frame, 200 bytes spill stores, 204 bytes spill loads
ptxas info    : Used 24 registers, used 1 barriers, 176 bytes cumulative stack size, 360 bytes cmem[0]
ptxas info    : Compile time = 11.971 ms
";

    const TWO_ENTRIES_AND_A_FUNCTION: &str = "\
ptxas info    : 32 bytes gmem, 8 bytes cmem[4]
ptxas info    : Compiling entry function 'b_v2' for 'sm_90'
ptxas info    : Function properties for b_v2
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 4 registers, used 0 barriers
ptxas info    : Compile time = 1.016 ms
ptxas info    : Compiling entry function 'b_v1' for 'sm_90'
ptxas info    : Function properties for b_v1
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 10 registers, used 2 barriers, 128 bytes smem
ptxas info    : Compile time = 1.388 ms
ptxas info    : Function properties for helper
    640 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads
";

    #[test]
    fn resources_of_a_spilling_entry_are_read() {
        let listing = Listing::parse(SPILLED);
        let usage = Usage {
            registers: 24,
            shared: 0,
            local: 176,
            spill_stores: 200,
            spill_loads: 204,
            doubles: 0,
            barriers: 1,
        };
        assert_eq!(listing.entries, [("spill_v1_u32".to_owned(), usage)]);
        assert_eq!(listing.messages.len(), 2);
        assert!(listing.messages[1].text.starts_with("Registers are spilled"));
    }

    #[test]
    fn each_entry_has_its_own_numbers_and_functions_have_none() {
        let listing = Listing::parse(TWO_ENTRIES_AND_A_FUNCTION);
        let plain = Usage { registers: 4, ..Usage::default() };
        let boxed = Usage { registers: 10, barriers: 2, shared: 128, ..Usage::default() };
        assert_eq!(listing.entries, [("b_v2".to_owned(), plain), ("b_v1".to_owned(), boxed)]);
        assert_eq!(listing.messages, []);
    }

    #[test]
    fn messages_keep_their_lines() {
        let listing = Listing::parse(
            "ptxas kernels/a b/x.ptx, line 6; error   : Unknown symbol '%x'\n\
             ptxas x.ptx, line 1; fatal   : Unsupported .version 9.1; current version is '9.0'\n\
             ptxas fatal   : Ptx assembly aborted due to errors\n\
             ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are \
             serialized due to a call in function 'w'\n",
        );
        let messages: Vec<(Option<usize>, &str)> = listing
            .messages
            .iter()
            .map(|message| (message.line, message.text.split('(').next().unwrap_or_default()))
            .collect();
        assert_eq!(messages[0], (Some(6), "Unknown symbol '%x'"));
        assert_eq!(messages[1], (Some(1), "Unsupported .version 9.1; current version is '9.0'"));
        assert_eq!(messages[2], (None, "Ptx assembly aborted due to errors"));
        assert_eq!(messages.len(), 4);
    }

    #[test]
    fn an_entry_that_was_not_finished_is_not_listed() {
        let half = "ptxas info    : Compiling entry function 'a' for 'sm_80'\n";
        assert_eq!(Listing::parse(half), Listing::default());
        assert_eq!(Listing::parse("ptxas: not a message\nptxas\n"), Listing::default());
    }
}
