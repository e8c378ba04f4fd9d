//! audio-frontend.
