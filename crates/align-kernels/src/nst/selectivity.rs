//! The path of neuron selectivity transfer on each place.

use super::{Gradients, TokenOutput, Tokens, gauss, gram, poly, rows};
use crate::error::Result;
use crate::mmd::{Discrepancy, Output};
use crate::place::Host;
use crate::ragged::Ragged;

/// A place that compares neurons. Gradients are those of its [`Discrepancy`].
pub trait Selectivity: Discrepancy {
    /// [`fn@super::nst`] of checked rows.
    ///
    /// # Errors
    ///
    /// When a device fails.
    fn of_rows(x: &Ragged<'_, Self>, y: &Ragged<'_, Self>) -> Result<Output<Self::Gradient>>;

    /// [`super::nst_poly`] of checked tokens.
    ///
    /// # Errors
    ///
    /// When a device fails.
    fn poly(tokens: &Tokens<'_, Self>, wanted: Gradients) -> Result<TokenOutput<Self::Gradient>>;

    /// [`super::nst_gram`] of checked tokens.
    ///
    /// # Errors
    ///
    /// When a device fails.
    fn gram(tokens: &Tokens<'_, Self>, wanted: Gradients) -> Result<TokenOutput<Self::Gradient>>;

    /// [`super::nst_gauss`] of checked tokens and a checked bandwidth.
    ///
    /// # Errors
    ///
    /// When a device fails.
    fn gauss(
        tokens: &Tokens<'_, Self>,
        bandwidth: f64,
        wanted: Gradients,
    ) -> Result<TokenOutput<Self::Gradient>>;
}

impl Selectivity for Host {
    fn of_rows(x: &Ragged<'_>, y: &Ragged<'_>) -> Result<Output> {
        Ok(rows::on_host(x, y))
    }

    fn poly(tokens: &Tokens<'_>, wanted: Gradients) -> Result<TokenOutput> {
        Ok(poly::on_host(tokens, wanted))
    }

    fn gram(tokens: &Tokens<'_>, wanted: Gradients) -> Result<TokenOutput> {
        Ok(gram::on_host(tokens, wanted))
    }

    fn gauss(tokens: &Tokens<'_>, bandwidth: f64, wanted: Gradients) -> Result<TokenOutput> {
        Ok(gauss::on_host(tokens, bandwidth, wanted))
    }
}
