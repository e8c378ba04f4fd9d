mod basic;
mod blocks;
mod given;
mod identities;
mod support;
mod yardstick;
