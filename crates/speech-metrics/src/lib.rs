//! speech-metrics.
