//! How a handler is polled, and what it says when it panics.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

use crate::held::{AllHeld, Held};

/// A handler as it is polled: counted, so that the watchdog sees one that blocks its thread, and from then on so that the
/// runtime goes on meanwhile.
pub(crate) struct Polled<'a, F> {
    pub(crate) handler: F,
    pub(crate) held: &'a Held,
    pub(crate) all: &'a AllHeld,
}

impl<F: Future + Unpin> Future for Polled<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let is_apart =
            self.all.blocks() && Handle::current().runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread;
        self.held.turns();
        let handler = Pin::new(&mut self.handler);
        let polled = match is_apart {
            true => tokio::task::block_in_place(|| handler.poll(context)),
            false => handler.poll(context),
        };
        self.held.turns();
        polled
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    format!("the handler panicked: {text}")
}
