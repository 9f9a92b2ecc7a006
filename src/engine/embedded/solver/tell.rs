//! Events of all threads, in one queue.

use std::sync::mpsc::Sender;

use crate::engine::{BuildEvent, StepState};

/// Tells the user what happens; nobody minds when nobody listens any more.
#[derive(Debug, Clone)]
pub(super) struct Tell(Sender<BuildEvent>);

impl Tell {
    pub(super) fn new(sender: Sender<BuildEvent>) -> Self {
        Self(sender)
    }

    pub(super) fn note(&self, text: String) {
        let _ = self.0.send(BuildEvent::Note(text));
    }

    pub(super) fn step(&self, id: &str, name: &str, state: StepState) {
        let _ = self.0.send(BuildEvent::Step {
            id: id.to_owned(),
            name: name.to_owned(),
            state,
        });
    }

    pub(super) fn log(&self, id: &str, stderr: bool, data: &[u8]) {
        let _ = self.0.send(BuildEvent::Log {
            id: id.to_owned(),
            data: data.to_vec(),
            stderr,
        });
    }

    /// Tells of bytes that are transferred for a step.
    pub(super) fn transfer(&self, id: String) -> impl Fn(&str, u64, u64) + Sync + use<> {
        let sender = self.0.clone();
        move |label: &str, current, total| {
            let _ = sender.send(BuildEvent::Progress {
                id: id.clone(),
                label: label.to_owned(),
                current,
                total,
            });
        }
    }
}
