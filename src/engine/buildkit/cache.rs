//! Cache sources and targets in buildx's words: `type=registry,ref=host/repository:tag,mode=max`, or
//! a reference alone.

use std::collections::HashMap;

use bollard_buildkit_proto::moby::buildkit::v1::CacheOptionsEntry;

/// Why a cache source or target cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cache `{text}`: {reason}")]
pub(crate) struct CacheError {
    /// as it was written
    pub(crate) text: String,
    /// what is wrong with it
    pub(crate) reason: String,
}

/// Reads one entry.
pub(crate) fn parse(text: &str) -> Result<CacheOptionsEntry, CacheError> {
    let refuse = |reason: String| CacheError {
        text: text.to_owned(),
        reason,
    };
    if !text.contains('=') {
        if text.trim().is_empty() {
            return Err(refuse("it is empty".to_owned()));
        }
        return Ok(entry(
            "registry",
            [("ref".to_owned(), text.trim().to_owned())].into(),
        ));
    }
    let mut kind = None;
    let mut attrs = HashMap::new();
    for field in text.split(',') {
        let (key, value) = field
            .split_once('=')
            .ok_or_else(|| refuse(format!("`{field}` is not of the form key=value")))?;
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().to_owned());
        if key == "type" {
            kind = Some(value);
        } else {
            attrs.insert(key, value);
        }
    }
    let kind = kind.ok_or_else(|| refuse("it has no `type=`".to_owned()))?;
    match kind.as_str() {
        "registry" if !attrs.contains_key("ref") => {
            Err(refuse("`type=registry` needs `ref=`".to_owned()))
        }
        "local" => Err(refuse(
            "`type=local` is not supported; use `type=registry`, `type=inline` or `type=gha`"
                .to_owned(),
        )),
        _ => Ok(entry(&kind, attrs)),
    }
}

/// The frontend looks for sources here, the solver in the request: both must be told.
pub(crate) fn imports_attribute(imports: &[CacheOptionsEntry]) -> String {
    let entries: Vec<serde_json::Value> = imports
        .iter()
        .map(|entry| {
            let attrs: std::collections::BTreeMap<_, _> = entry.attrs.iter().collect();
            serde_json::json!({"Type": entry.r#type, "Attrs": attrs})
        })
        .collect();
    serde_json::Value::from(entries).to_string()
}

fn entry(kind: &str, attrs: HashMap<String, String>) -> CacheOptionsEntry {
    CacheOptionsEntry {
        r#type: kind.to_owned(),
        attrs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_alone_is_a_registry_cache() {
        let entry = parse("registry.example.com/app:cache").unwrap();
        assert_eq!(entry.r#type, "registry");
        assert_eq!(entry.attrs["ref"], "registry.example.com/app:cache");
    }

    #[test]
    fn buildx_words_are_read() {
        let entry = parse("type=registry,ref=r.example.com/a:c,mode=max").unwrap();
        assert_eq!(
            (entry.r#type.as_str(), entry.attrs["mode"].as_str()),
            ("registry", "max")
        );
        assert_eq!(
            imports_attribute(&[entry]),
            r#"[{"Type":"registry","Attrs":{"mode":"max","ref":"r.example.com/a:c"}}]"#
        );
        assert!(parse("type=inline").unwrap().attrs.is_empty());
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        for (text, word) in [
            ("", "empty"),
            ("type=registry", "ref="),
            ("ref=a", "type="),
            ("type=registry,ref", "key=value"),
            ("type=local,dest=/tmp", "type=registry"),
        ] {
            assert!(parse(text).unwrap_err().reason.contains(word), "{text}");
        }
    }
}
