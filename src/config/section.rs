//! The two macros that make values: `section!` makes of one list of keys the type, its decoder, its
//! JSON Schema, and how it lies over another level; `leaf!` makes a value of what is one text.

/// Makes a [`Value`] of a [`Leaf`].
macro_rules! leaf {
    ($($type:ty),+ $(,)?) => {$(
        impl $crate::config::decode::Value for $type {
            fn decode(
                node: &$crate::config::tree::Node,
                cx: &mut $crate::config::decode::Decoder<'_>,
            ) -> Option<Self> {
                cx.parsed(node, <Self as $crate::config::decode::Leaf>::parse)
            }
            fn shape(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <Self as $crate::config::decode::Leaf>::leaf_shape()
            }
            fn list(
                &self,
                path: &str,
                origin: &$crate::config::sourced::Origin,
                out: &mut Vec<$crate::config::sourced::Listed>,
            ) {
                let text = $crate::config::decode::Leaf::show(self);
                $crate::config::decode::push(path, text, origin, out);
            }
        }
    )+};
}
pub(super) use leaf;

/// A section of the configuration: a mapping with known keys.
macro_rules! section {
    ($(#[doc = $about:literal])+ pub struct $name:ident {
        $($(#[doc = $doc:literal])+ $key:literal $field:ident: $type:ty,)+
    } required $required:tt $(check $check:path)?) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $crate::config::sourced::Setting<$type>,)+
        }

        impl $name {
            /// The keys, in the order of the documentation.
            pub const KEYS: &'static [&'static str] = &[$($key),+];
        }

        impl $crate::config::decode::Value for $name {
            const NULLABLE: bool = true;

            fn decode(
                node: &$crate::config::tree::Node,
                cx: &mut $crate::config::decode::Decoder<'_>,
            ) -> Option<Self> {
                let mut fields = cx.fields(node, Self::KEYS)?;
                let required: &[&str] = &$required;
                for missing in required.iter().filter(|key| !fields.has(key)) {
                    cx.fault(&node.mark, format!("`{missing}` is missing here"), None);
                }
                let value = Self { $($field: fields.take($key, cx)),+ };
                $($check(&value, cx);)?
                Some(value)
            }

            fn shape(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut properties = serde_json::Map::new();
                $(
                    let mut schema = <$type as $crate::config::decode::Value>::shape(generator);
                    let about = concat!($($doc),+).trim();
                    schema.insert("description".to_owned(), about.into());
                    properties.insert($key.to_owned(), schema.into());
                )+
                let required: &[&str] = &$required;
                let mut schema = schemars::json_schema!({
                    "type": ["object", "null"],
                    "description": concat!($($about),+).trim(),
                    "additionalProperties": false,
                    "properties": properties,
                });
                if !required.is_empty() {
                    schema.insert("type".to_owned(), "object".into());
                    schema.insert("required".to_owned(), required.into());
                }
                schema
            }

            fn over(self, below: Self) -> Self {
                Self { $($field: $crate::config::decode::over(self.$field, below.$field)),+ }
            }

            fn list(
                &self,
                path: &str,
                _: &$crate::config::sourced::Origin,
                out: &mut Vec<$crate::config::sourced::Listed>,
            ) {
                $(if let Some(setting) = &self.$field {
                    let path = match path {
                        "" => $key.to_owned(),
                        path => format!("{path}.{}", $key),
                    };
                    $crate::config::decode::Value::list(
                        &setting.value, &path, &setting.origin, out,
                    );
                })+
            }
        }
    };
}
pub(super) use section;
