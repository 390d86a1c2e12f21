//! What the rest of the controller asks of the projection, by subject.

mod archive;
mod evidence;
mod intents;
