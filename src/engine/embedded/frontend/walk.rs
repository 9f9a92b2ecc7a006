//! The stages that the target needs, one instruction after another, into the graph.

use std::collections::HashMap;

use crate::{
    engine::embedded::graph::{Graph, HistoryEntry, ImageSource, Op, Span, Tree, Vertex, VertexId},
    finding::Location,
    oci::Reference,
};

use super::{
    FrontendRequest, Refusal, ResolveImage,
    command::{Command, Read, Step},
    image::Image,
    lex::{Budget, Env, Lexer},
    names::Names,
    stages::{Base, Stages},
};

/// `comment` of the history.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// Lowers the stage `target`.
pub(super) struct Walk<'a> {
    pub(super) request: &'a FrontendRequest<'a>,
    pub(super) stages: &'a Stages,
    pub(super) escape: char,
    pub(super) budget: &'a Budget,
    vertices: Vec<Vertex>,
    known: HashMap<String, VertexId>,
    pub(super) images: HashMap<String, Found>,
    /// triggers of base images and base stages, by stage
    pub(super) triggers: HashMap<usize, Vec<Step>>,
    states: Vec<Option<State>>,
    pub(super) refusals: Vec<Refusal>,
}

/// An image that was looked up.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) manifest: String,
    pub(super) image: Image,
}

/// What is in effect at a point of a stage.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) tree: Option<VertexId>,
    /// arguments too
    pub(super) env: Env,
    pub(super) image: Image,
    pub(super) history: Vec<HistoryEntry>,
    pub(super) args: Vec<(String, Option<String>)>,
    /// this stage has a `CMD`
    pub(super) cmd: bool,
    pub(super) names: Names,
}

impl State {
    /// Notes an instruction.
    pub(super) fn commit(&mut self, text: String, layer: bool) {
        self.history.push(HistoryEntry {
            created_by: text,
            comment: COMMENT.to_owned(),
            empty_layer: !layer,
        });
    }

    /// Working directory, absolute.
    pub(super) fn directory(&self) -> &str {
        &self.image.config.working_dir
    }

    fn size(&self) -> usize {
        let history: usize = self.history.iter().map(|h| h.created_by.len() + 64).sum();
        self.env.size() + self.image.size() + history
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        request: &'a FrontendRequest<'a>,
        stages: &'a Stages,
        escape: char,
        budget: &'a Budget,
    ) -> Self {
        Self {
            request,
            stages,
            escape,
            budget,
            vertices: Vec::new(),
            known: HashMap::new(),
            images: HashMap::new(),
            triggers: HashMap::new(),
            states: Vec::new(),
            refusals: Vec::new(),
        }
    }

    pub(super) fn lexer(&self) -> Lexer<'a> {
        Lexer::new(self.escape, self.budget)
    }

    pub(super) fn graph(
        mut self,
        target: usize,
        images: &mut dyn ResolveImage,
    ) -> Result<Graph, Vec<Refusal>> {
        let needed = self.needed(target, images);
        self.states.resize_with(self.stages.list.len(), || None);
        for index in needed {
            let state = self.stage(index);
            if let Some(slot) = self.states.get_mut(index) {
                *slot = state;
            }
        }
        let state = self.states.get_mut(target).and_then(Option::take);
        let Some(mut state) = state.filter(|_| self.refusals.is_empty()) else {
            self.refusals.sort_by_key(|refusal| {
                let location = refusal.location.as_ref();
                location.map_or(0, |location| location.line)
            });
            self.refusals.dedup();
            return Err(self.refusals);
        };
        let labels = self.request.labels.iter();
        let labels = labels.map(|(name, value)| (name.clone(), value.clone()));
        state.image.config.labels.extend(labels);
        let platform = state.image.platform(self.request.platform);
        let config = state.image.json(&platform).map_err(|error| {
            vec![Refusal {
                message: format!("the image configuration cannot be written: {error}"),
                remedy: "report this".to_owned(),
                location: None,
                kind: super::RefusalKind::Unsupported,
            }]
        })?;
        Ok(Graph {
            vertices: self.vertices,
            result: state.tree,
            config,
            history: state.history,
            platform,
            epoch: self.stages.epoch,
        })
    }

    /// One stage to its end; `None` when what it stands on could not be had.
    fn stage(&mut self, index: usize) -> Option<State> {
        let own = self.stages.list.get(index)?;
        let triggers = self.triggers.remove(&index)?;
        let several = self.stages.several();
        let total = |step: &Step| {
            matches!(
                step.command,
                Command::Run(_) | Command::Copy(_) | Command::Workdir(_)
            )
        };
        let image = matches!(own.base, Base::Image(_));
        let steps = triggers.iter().chain(&own.steps);
        let count = own.steps.iter().filter(|step| total(step)).count();
        let total = count + usize::from(image);
        let display = own.name.clone().unwrap_or_else(|| format!("stage-{index}"));
        let mut names = Names::new(if several { display } else { String::new() }, total);
        let mut state = match self.base(&own.base, &own.from, &mut names) {
            Ok(state) => state?,
            Err(problem) => {
                self.refusals.push(problem.at(&own.from));
                return None;
            }
        };
        // `BuildKit` learns of triggers once the base has its name.
        names.total += triggers.len();
        state.names = names;
        state.cmd = false;
        state.image.config.on_build.clear();
        state.image.path();
        for pair in state.image.config.env.clone() {
            let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
            state.env.set(name, value);
        }
        for step in steps {
            state.names.onbuild = step.onbuild;
            if let Err(problem) = self.step(index, step, &mut state) {
                self.refusals.push(problem.at(&step.location));
            }
        }
        Some(state)
    }

    /// The state that a stage starts with.
    fn base(&mut self, base: &Base, location: &Location, names: &mut Names) -> Read<Option<State>> {
        let state = match base {
            Base::Scratch => State {
                image: Image::empty(self.request.platform),
                ..State::default()
            },
            Base::Stage(index) => {
                let Some(state) = self.states.get(*index).and_then(Option::as_ref) else {
                    return Ok(None);
                };
                self.budget.spend(state.size())?;
                state.clone()
            }
            Base::Image(name) => {
                let Some(found) = self.images.get(name).cloned() else {
                    return Ok(None);
                };
                let mut state = State::default();
                if found.image.is_empty() {
                    let entries = found.image.history.iter();
                    state.history = entries
                        .map(|entry| HistoryEntry {
                            created_by: entry.created_by.clone(),
                            comment: entry.comment.clone(),
                            empty_layer: true,
                        })
                        .collect();
                } else {
                    state.tree = Some(self.image(name, &found, location, Some(names)));
                }
                state.image = found.image;
                let directory = &state.image.config.working_dir;
                if !directory.is_empty() {
                    state.image.config.working_dir = super::words::below(directory, directory);
                }
                state
            }
        };
        Ok(Some(state))
    }

    fn image(
        &mut self,
        name: &str,
        found: &Found,
        location: &Location,
        names: Option<&mut Names>,
    ) -> VertexId {
        let full = Reference::parse_familiar(name).map(|mut full| {
            full.digest = None;
            format!("FROM {full}@{}", found.manifest)
        });
        let text = full.unwrap_or_else(|_| format!("FROM {name}"));
        let text = names.map_or_else(|| text.clone(), |names| names.next(&text));
        let op = Op::Image(ImageSource {
            reference: name.to_owned(),
            manifest: found.manifest.clone(),
            platform: self.request.platform.clone(),
        });
        self.source_vertex(op, text, location)
    }

    /// A step of the graph.
    pub(super) fn vertex(&mut self, op: Op, name: String, location: &Location) -> VertexId {
        self.vertices.push(Vertex {
            op,
            name,
            span: Some(Span {
                line: location.line,
                end_line: location.end_line,
            }),
        });
        VertexId(self.vertices.len() - 1)
    }

    /// A source; the same one is there once.
    pub(super) fn source_vertex(&mut self, op: Op, name: String, location: &Location) -> VertexId {
        let key = serde_json::to_string(&op).unwrap_or_default();
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let vertex = self.vertex(op, name, location);
        self.known.insert(key, vertex);
        vertex
    }

    /// What `from` of a step names; `None` when it could not be had, which was told already.
    pub(super) fn tree(&mut self, from: &str, numbers: bool, at: &At<'_>) -> Read<Option<Tree>> {
        let of = |vertex: Option<VertexId>| vertex.map_or(Tree::Empty, Tree::Vertex);
        Ok(match self.stages.source(from, at.stage, numbers)? {
            Base::Scratch => Some(Tree::Empty),
            Base::Stage(index) => {
                let state = self.states.get(index).and_then(Option::as_ref);
                state.map(|state| of(state.tree))
            }
            Base::Image(name) => match self.images.get(&name).cloned() {
                Some(found) if found.image.is_empty() => Some(Tree::Empty),
                Some(found) => {
                    let vertex = self.image(&name, &found, at.location, None);
                    Some(Tree::Vertex(vertex))
                }
                None => None,
            },
        })
    }

    fn step(&mut self, index: usize, step: &Step, state: &mut State) -> Read<()> {
        let at = At {
            stage: index,
            location: &step.location,
            code: &step.code,
        };
        match &step.command {
            Command::Run(run) => self.run(run, &at, state),
            Command::Copy(copy) => self.copy(copy, &at, state),
            Command::Workdir(path) => self.workdir(path, &at, state),
            other => self.setting(other, state),
        }
    }
}

/// Where an instruction stands.
pub(super) struct At<'a> {
    pub(super) stage: usize,
    pub(super) location: &'a Location,
    /// its joined line
    pub(super) code: &'a str,
}
