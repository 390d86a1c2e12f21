//! The part of the snapshots that is about stopping work and letting it go on.

use crate::scene::Scene;

/// An agent without workers, for which two intents wait; only one of its versions takes work.
pub(super) async fn stopped(scene: &mut Scene) {
    for line in [
        "intents pause waits-1 --reason 'look at it first'",
        "intents pause waits-1 --reason again",
        "intents get waits-1",
        "intents resume waits-2",
        "intents resume waits-1 --output json",
        "intents retry waits-1",
        "intents restart order-1 --from-hop 7",
        "intents restart nowhere --from-hop 1",
        "agents pause code --reason 'a bad night'",
        "agents pause code",
        "agents list",
        "agents resume code 1.0.0",
        "agents kill code 1.0.0 --reason 'it leaks'",
        "agents list",
        "agents kill code 3.0.0",
        "agents resume code 1.0.0 --reason mended",
        "agents resume code --output json",
        "agents resume code",
    ] {
        scene.tell(line).await;
    }
    scene.is("stopped");
}
