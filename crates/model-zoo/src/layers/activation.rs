//! Activations by the names that published configs use.

use tensor_core::Tensor;

use crate::error::{Result, ZooError};

/// An elementwise function between two linear maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x Phi(x)` with the exact normal distribution function.
    Gelu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// `x sigmoid(1.702 x)`.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// `x sigmoid(x)`.
    Silu,
    /// Hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// The function that a config calls `name`.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) when `transformers` knows the name and this crate
    /// does not, or nobody does.
    pub fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            "gelu" | "gelu_python" => Self::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Self::GeluTanh,
            "quick_gelu" => Self::QuickGelu,
            "relu" => Self::Relu,
            "silu" | "swish" => Self::Silu,
            "tanh" => Self::Tanh,
            _ => {
                let known = "gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, relu, silu, tanh";
                let detail = format!("activation is `{name}`, expected one of {known}");
                return Err(ZooError::config("config", detail));
            }
        })
    }

    /// The function, elementwise.
    pub fn function(self) -> fn(&Tensor) -> tensor_core::Result<Tensor> {
        match self {
            Self::Gelu => Tensor::gelu,
            Self::GeluTanh => Tensor::gelu_tanh,
            Self::QuickGelu => Tensor::quick_gelu,
            Self::Relu => Tensor::relu,
            Self::Silu => Tensor::silu,
            Self::Tanh => Tensor::tanh,
        }
    }

    /// Applies the function elementwise.
    pub fn forward(self, x: &Tensor) -> tensor_core::Result<Tensor> {
        self.function()(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_activation_names_the_known_ones() {
        let text = Activation::from_name("mish").unwrap_err().to_string();
        assert!(text.starts_with("config: activation is `mish`, expected one of gelu,"), "{text}");
    }
}
