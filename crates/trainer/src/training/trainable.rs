//! What of a model is trained, and by which optimiser.

use model_zoo::Parameters;
use tensor_core::{AdamW, AdamWOptions};

use crate::freeze;
use crate::recipe::Recipe;

/// AdamW over what is trained; biases and norms, which have one dimension, do not decay.
pub(super) fn optimizer(parameters: &Parameters, recipe: &Recipe) -> anyhow::Result<AdamW> {
    let options = AdamWOptions {
        betas: recipe.optim.betas.into(),
        eps: recipe.optim.eps,
        weight_decay: recipe.optim.weight_decay,
    };
    let trainable = parameters.iter().filter(|(_, var)| var.trainable());
    Ok(AdamW::new(options, trainable.map(|(name, var)| (name, var, var.shape().len() > 1)))?)
}

/// Applies `train.freeze`; what a model froze itself stays frozen unless asked for by name.
pub(super) fn freeze_parameters(parameters: &Parameters, recipe: &Recipe) -> anyhow::Result<()> {
    let names: Vec<String> = parameters.names().map(str::to_owned).collect();
    let (frozen, thawed) = (&recipe.train.freeze, &recipe.train.unfreeze);
    let trainable = freeze::trainable(&names, frozen, thawed)?;
    for ((name, var), trainable) in parameters.iter().zip(trainable) {
        let named = thawed.iter().any(|pattern| freeze::matches(pattern, name));
        var.set_trainable(trainable && (var.trainable() || named));
    }
    Ok(())
}
