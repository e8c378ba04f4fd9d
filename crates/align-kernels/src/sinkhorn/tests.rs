mod basic;
mod given;
mod identities;
mod support;
mod yardstick;
