//! Folds `BuildKit`'s status stream, which repeats itself, into events that are each said once, and
//! remembers what is needed to explain a failure.

use std::collections::{HashMap, VecDeque};

use bollard_buildkit_proto::{
    google::protobuf::Timestamp,
    moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning},
};

use crate::engine::{BuildEvent, StepState};

/// Lines of output that are kept of each step.
const LOG_LINES: usize = 40;
/// Bytes kept of one line.
const LINE_BYTES: usize = 4096;
/// Warnings kept: a hostile Dockerfile must not fill memory.
const WARNINGS: usize = 1000;

/// What is known of the steps so far.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    steps: HashMap<String, Step>,
    transfers: HashMap<(String, String), (i64, i64)>,
    order: Vec<String>,
    warnings: Vec<VertexWarning>,
}

/// One step.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// as the engine words it
    pub(crate) name: String,
    /// in the engine's words, when it failed by itself
    pub(crate) error: Option<String>,
    log: VecDeque<Vec<u8>>,
    started: bool,
    ended: bool,
}

impl Step {
    /// The last lines of its output.
    pub(crate) fn log(&self) -> Vec<String> {
        let text = |line: &Vec<u8>| String::from_utf8_lossy(line).trim_end().to_owned();
        let mut lines: Vec<String> = self.log.iter().map(text).collect();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines
    }

    fn append(&mut self, data: &[u8]) {
        for piece in data.split_inclusive(|&byte| byte == b'\n') {
            let fresh = self.log.back().is_none_or(|line| line.ends_with(b"\n"));
            if fresh {
                if self.log.len() == LOG_LINES {
                    self.log.pop_front();
                }
                self.log.push_back(Vec::new());
            }
            if let Some(line) = self.log.back_mut() {
                let room = LINE_BYTES.saturating_sub(line.len());
                line.extend_from_slice(piece.get(..room).unwrap_or(piece));
                if piece.ends_with(b"\n") && !line.ends_with(b"\n") {
                    line.push(b'\n');
                }
            }
        }
    }
}

impl Progress {
    /// Takes one message in and gives the events that are new in it.
    pub(crate) fn fold(&mut self, status: StatusResponse) -> Vec<BuildEvent> {
        let mut events = Vec::new();
        for vertex in status.vertexes {
            self.vertex(vertex, &mut events);
        }
        for transfer in status.statuses {
            self.transfer(transfer, &mut events);
        }
        for log in status.logs {
            self.log(log, &mut events);
        }
        let room = WARNINGS.saturating_sub(self.warnings.len());
        self.warnings.extend(status.warnings.into_iter().take(room));
        events
    }

    /// The step that failed by itself: the one named, or else the first.
    pub(crate) fn failed(&self, digest: Option<&str>) -> Option<&Step> {
        let named = digest.and_then(|digest| self.steps.get(digest));
        named.or_else(|| {
            self.order
                .iter()
                .filter_map(|id| self.steps.get(id))
                .find(|step| step.error.is_some())
        })
    }

    /// Build checks, as they came.
    pub(crate) fn warnings(&self) -> &[VertexWarning] {
        &self.warnings
    }

    fn vertex(&mut self, vertex: Vertex, events: &mut Vec<BuildEvent>) {
        let id = vertex.digest;
        if !self.steps.contains_key(&id) {
            self.order.push(id.clone());
        }
        let step = self.steps.entry(id.clone()).or_default();
        step.name.clone_from(&vertex.name);
        let mut say = |state| {
            events.push(BuildEvent::Step {
                id: id.clone(),
                name: vertex.name.clone(),
                state,
            });
        };
        if vertex.started.is_some() && !step.started {
            step.started = true;
            say(StepState::Started);
        }
        let Some(completed) = vertex.completed else {
            // The daemon runs a step again when a cached result turned out to be gone.
            step.ended &= vertex.started.is_none();
            return;
        };
        if step.ended {
            return;
        }
        step.ended = true;
        if is_cancellation(&vertex.error) {
            say(StepState::Canceled);
        } else if !vertex.error.is_empty() {
            step.error = Some(vertex.error.clone());
            say(StepState::Failed(vertex.error.clone()));
        } else if vertex.cached {
            say(StepState::Cached);
        } else {
            let seconds = vertex
                .started
                .map_or(0.0, |started| seconds(started, completed));
            step.log.clear();
            say(StepState::Done(seconds));
        }
    }

    fn transfer(&mut self, status: VertexStatus, events: &mut Vec<BuildEvent>) {
        let key = (status.vertex.clone(), status.id.clone());
        let now = (status.current, status.total);
        if self.transfers.insert(key, now) == Some(now) {
            return;
        }
        let label = if status.name.is_empty() {
            status.id
        } else {
            status.name
        };
        events.push(BuildEvent::Progress {
            id: status.vertex,
            label,
            current: u64::try_from(status.current).unwrap_or(0),
            total: u64::try_from(status.total).unwrap_or(0),
        });
    }

    fn log(&mut self, log: VertexLog, events: &mut Vec<BuildEvent>) {
        if let Some(step) = self.steps.get_mut(&log.vertex) {
            step.append(&log.msg);
        }
        events.push(BuildEvent::Log {
            id: log.vertex,
            data: log.msg,
            stderr: log.stream == 2,
        });
    }
}

fn is_cancellation(error: &str) -> bool {
    error.ends_with("context canceled") || error.ends_with("context cancelled")
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds of a build step are far below 2^52"
)]
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    let whole = to.seconds.saturating_sub(from.seconds) as f64;
    (whole + f64::from(to.nanos - from.nanos) / 1e9).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanos: 0 }
    }

    fn vertex(
        digest: &str,
        started: Option<i64>,
        completed: Option<i64>,
        error: &str,
    ) -> StatusResponse {
        StatusResponse {
            vertexes: vec![Vertex {
                digest: digest.to_owned(),
                name: format!("[1/1] {digest}"),
                started: started.map(at),
                completed: completed.map(at),
                error: error.to_owned(),
                ..Vertex::default()
            }],
            ..StatusResponse::default()
        }
    }

    fn log(digest: &str, text: &str) -> StatusResponse {
        StatusResponse {
            logs: vec![VertexLog {
                vertex: digest.to_owned(),
                stream: 2,
                msg: text.as_bytes().to_vec(),
                ..VertexLog::default()
            }],
            ..StatusResponse::default()
        }
    }

    fn states(events: &[BuildEvent]) -> Vec<StepState> {
        let state = |event: &BuildEvent| match event {
            BuildEvent::Step { state, .. } => Some(state.clone()),
            _ => None,
        };
        events.iter().filter_map(state).collect()
    }

    #[test]
    fn repeated_states_are_said_once() {
        let mut progress = Progress::default();
        assert_eq!(states(&progress.fold(vertex("a", None, None, ""))), []);
        assert_eq!(
            states(&progress.fold(vertex("a", Some(10), None, ""))),
            [StepState::Started]
        );
        assert_eq!(states(&progress.fold(vertex("a", Some(10), None, ""))), []);
        let done = progress.fold(vertex("a", Some(10), Some(12), ""));
        assert_eq!(states(&done), [StepState::Done(2.0)]);
        assert_eq!(
            states(&progress.fold(vertex("a", Some(10), Some(12), ""))),
            []
        );
    }

    #[test]
    fn the_step_that_failed_is_told_from_those_that_were_stopped() {
        let mut progress = Progress::default();
        let canceled = progress.fold(vertex("b", Some(1), Some(2), "context canceled"));
        assert_eq!(states(&canceled).last(), Some(&StepState::Canceled));
        progress.fold(vertex("a", Some(1), Some(2), "exit code: 3"));
        assert_eq!(progress.failed(None).unwrap().name, "[1/1] a");
        assert_eq!(progress.failed(Some("b")).unwrap().name, "[1/1] b");
        assert_eq!(progress.failed(Some("unknown")).unwrap().name, "[1/1] a");
    }

    #[test]
    fn the_last_lines_of_a_failed_step_are_kept_whole_and_bounded() {
        let mut progress = Progress::default();
        progress.fold(vertex("a", Some(1), None, ""));
        for n in 0..100 {
            progress.fold(log("a", &format!("line {n}\n")));
        }
        progress.fold(log("a", "hal"));
        progress.fold(log("a", "f\n\n"));
        progress.fold(log("a", &"x".repeat(10 * LINE_BYTES)));
        progress.fold(vertex("a", Some(1), Some(2), "exit code: 3"));
        let lines = progress.failed(None).unwrap().log();
        assert_eq!(lines.len(), LOG_LINES);
        assert!(lines.contains(&"half".to_owned()));
        assert_eq!(lines.last().unwrap().len(), LINE_BYTES);
    }

    #[test]
    fn a_transfer_is_told_when_it_moves() {
        let status = |current| StatusResponse {
            statuses: vec![VertexStatus {
                id: "sha256:1".to_owned(),
                vertex: "a".to_owned(),
                current,
                total: 10,
                ..VertexStatus::default()
            }],
            ..StatusResponse::default()
        };
        let mut progress = Progress::default();
        assert_eq!(progress.fold(status(1)).len(), 1);
        assert_eq!(progress.fold(status(1)).len(), 0);
        assert_eq!(progress.fold(status(10)).len(), 1);
    }
}
