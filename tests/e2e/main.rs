//! End to end: real servers, real processes. One binary; a module for each part of the vocabulary.

mod bad_input;
mod crash;
mod dead_letter;
mod drain;
mod handoff;
mod hop;
mod layers;
mod nats_cli;
mod priority;
