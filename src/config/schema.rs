//! The JSON Schema of `plimsoll.yaml`, made from the types that decode it.

use schemars::{Schema, generate::SchemaSettings};

use super::{decode::Value as _, file::Settings};

/// The schema, JSON Schema draft 2020-12.
pub fn schema() -> Schema {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = Settings::shape(&mut generator);
    let uri = "https://json-schema.org/draft/2020-12/schema";
    schema.insert("$schema".to_owned(), uri.into());
    schema.insert("title".to_owned(), "plimsoll.yaml".into());
    schema
}
