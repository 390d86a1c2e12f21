//! The projection's questions for the rest of the controller, by topic.

mod archive;
mod capped;
mod children;
mod evidence;
mod intents;
mod memories;
mod timers;
mod trees;
mod turns;
