//! Writes the image: configuration, history and manifest as BuildKit's exporter makes them, blobs
//! linked from the cache where the file system can.

use serde_json::{Map, Value, json};

use super::{
    graph::{Graph, HistoryEntry},
    solver::Tree,
    store::{Layer, Store},
};
use crate::{
    layout::LayoutWriter,
    oci::{Descriptor, Digest, MediaType, Platform, SourceError},
};

/// What goes into the image besides its layers.
pub(super) struct Image<'i> {
    pub(super) graph: &'i Graph,
    pub(super) tree: &'i Tree,
    /// history of the base image
    pub(super) history: Vec<Value>,
    /// seconds since 1970 that stand for every time of this build
    pub(super) epoch: Option<i64>,
}

/// Writes the layout; the digest of its manifest.
pub(super) fn write(
    image: Image<'_>,
    store: &Store,
    output: &std::path::Path,
    names: &[String],
) -> Result<Digest, SourceError> {
    let layout = LayoutWriter::create(output)?;
    let layers: Vec<Descriptor> = image.tree.layers.iter().map(Layer::descriptor).collect();
    for layer in &layers {
        layout.link(&store.blob_path(layer.digest()), layer)?;
    }
    let config = configuration(image);
    let config = layout.bytes(MediaType::ImageConfig, config.to_string().as_bytes())?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest.to_string(),
        "config": config,
        "layers": layers,
    });
    let manifest = layout.bytes(MediaType::ImageManifest, manifest.to_string().as_bytes())?;
    let digest = manifest.digest().clone();
    layout.finish(&manifest, names)?;
    Ok(digest)
}

fn configuration(image: Image<'_>) -> Value {
    let Image {
        graph,
        tree,
        history,
        epoch,
    } = image;
    let base_layers = tree.layers.len() - tree.made.iter().filter(|made| **made).count();
    let mut history = of_base(history, base_layers);
    of_build(&mut history, &graph.history, tree, epoch);
    fill_times(&mut history);
    let mut config = match &graph.config {
        Value::Object(config) => config.clone(),
        _ => Map::new(),
    };
    let Platform {
        os,
        architecture,
        variant,
    } = &graph.platform;
    config
        .entry("architecture")
        .or_insert_with(|| json!(architecture));
    config.entry("os").or_insert_with(|| json!(os));
    if let Some(variant) = variant {
        config.entry("variant").or_insert_with(|| json!(variant));
    }
    let last = history.iter().rev().find_map(|entry| entry.get("created"));
    let created = epoch.map_or_else(|| last.cloned().unwrap_or(Value::Null), time);
    if !created.is_null() {
        config.insert("created".to_owned(), created);
    }
    config.insert("history".to_owned(), Value::Array(history));
    let diff_ids: Vec<String> = tree.layers.iter().map(|l| l.diff_id.to_string()).collect();
    config.insert(
        "rootfs".to_owned(),
        json!({ "type": "layers", "diff_ids": diff_ids }),
    );
    // As Go writes a map, so that the same image has the same digest whoever put it together.
    config.sort_keys();
    Value::Object(config)
}

/// RFC 3339; null for what no calendar has.
fn time(seconds: i64) -> Value {
    jiff::Timestamp::from_second(seconds).map_or(Value::Null, |at| json!(at.to_string()))
}

fn is_empty(entry: &Value) -> bool {
    entry.get("empty_layer").and_then(Value::as_bool) == Some(true)
}

/// The base image's history with one entry for each of its layers.
fn of_base(mut history: Vec<Value>, layers: usize) -> Vec<Value> {
    let mut counted = 0;
    for entry in &mut history {
        if is_empty(entry) {
            continue;
        }
        counted += 1;
        if counted > layers
            && let Value::Object(entry) = entry
        {
            entry.insert("empty_layer".to_owned(), Value::Bool(true));
        }
    }
    for _ in counted..layers {
        history.push(json!({
            "created_by": "layer of the base image",
            "comment": "buildkit.exporter.image.v0",
        }));
    }
    history
}

/// The build's own history. A step that changed nothing has no layer, as in BuildKit.
fn of_build(history: &mut Vec<Value>, own: &[HistoryEntry], tree: &Tree, epoch: Option<i64>) {
    let first = tree.layers.len() - tree.made.iter().filter(|made| **made).count();
    let mut layers = tree.layers.get(first..).unwrap_or_default().iter();
    let mut made = tree.made.iter();
    for step in own {
        let layer = if !step.empty_layer && made.next() == Some(&true) {
            layers.next()
        } else {
            None
        };
        let mut entry = Map::new();
        let created = match epoch {
            Some(epoch) => Some(epoch),
            None => layer.and_then(|layer| layer.created),
        };
        if let Some(created) = created {
            entry.insert("created".to_owned(), time(created));
        }
        entry.insert("created_by".to_owned(), json!(step.created_by));
        if !step.comment.is_empty() {
            entry.insert("comment".to_owned(), json!(step.comment));
        }
        if layer.is_none() {
            entry.insert("empty_layer".to_owned(), Value::Bool(true));
        }
        history.push(Value::Object(entry));
    }
}

/// An entry without a time gets that of the first new layer, or of the layer before it.
fn fill_times(history: &mut [Value]) {
    let has = |entry: &Value| entry.get("created").filter(|at| !at.is_null()).cloned();
    let first_without = history.iter().position(|entry| has(entry).is_none());
    let Some(first_without) = first_without else {
        return;
    };
    let after = history.iter().skip(first_without).find_map(has);
    let before = history.iter().take(first_without).rev().find_map(has);
    let mut current = after.or(before);
    for entry in history.iter_mut().skip(first_without) {
        match (has(entry), &current, entry) {
            (Some(at), ..) => current = Some(at),
            (None, Some(at), Value::Object(entry)) => {
                let mut whole = Map::new();
                whole.insert("created".to_owned(), at.clone());
                whole.extend(std::mem::take(entry));
                *entry = whole;
            }
            _ => {}
        }
    }
}
