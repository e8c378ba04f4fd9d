//! model-zoo.
