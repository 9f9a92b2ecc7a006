//! `RUN --mount`: the options of each type, their defaults and faults.

use crate::engine::embedded::graph::Sharing;

use super::problem::Problem;

/// Types of mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Type {
    #[default]
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

const TYPES: [(&str, Type); 5] = [
    ("bind", Type::Bind),
    ("cache", Type::Cache),
    ("tmpfs", Type::Tmpfs),
    ("secret", Type::Secret),
    ("ssh", Type::Ssh),
];

impl Type {
    fn name(self) -> &'static str {
        let found = TYPES.iter().find(|(_, kind)| *kind == self);
        found.map_or("", |(name, _)| name)
    }
}

/// The options of one mount.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    pub(super) kind: Type,
    pub(super) from: Option<String>,
    pub(super) source: String,
    pub(super) target: String,
    pub(super) read_only: bool,
    pub(super) size: u64,
    pub(super) id: String,
    pub(super) sharing: Option<Sharing>,
    pub(super) required: bool,
    /// variable of a secret; empty asks for a file all the same
    pub(super) env: Option<String>,
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

/// Puts variables into a value.
pub(super) type Expand<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Reads a mount. Without variables only its shape and `from` are read.
pub(super) fn parse(text: &str, expand: Option<Expand<'_>>) -> Result<Options, Problem> {
    let mut options = Options::default();
    let mut access = None;
    for field in csv(text)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value.to_owned())),
            None => (field.to_lowercase(), None),
        };
        let Some(expand) = expand else {
            options.plain(&key, value)?;
            continue;
        };
        let value = value.map(|value| expand(&value)).transpose()?;
        options.field(&key, value, &field, &mut access)?;
    }
    if expand.is_some() {
        options.complete(access)?;
    }
    Ok(options)
}

impl Options {
    /// What counts before variables are known.
    fn plain(&mut self, key: &str, value: Option<String>) -> Result<(), Problem> {
        let Some(value) = value.filter(|_| key == "from") else {
            return Ok(());
        };
        let dollar = value.find('$');
        if dollar.is_some_and(|at| at + 1 != value.len()) {
            return Err(Problem::fault(
                "`from` of a mount takes no variables",
                "give the image a stage of its own, FROM $IMAGE AS name, and name that stage",
            ));
        }
        self.from = Some(value).filter(|from| !from.is_empty());
        Ok(())
    }

    fn field(
        &mut self,
        key: &str,
        value: Option<String>,
        field: &str,
        access: &mut Option<bool>,
    ) -> Result<(), Problem> {
        let Some(value) = value else {
            match key {
                "readonly" | "ro" => *access = Some(true),
                "readwrite" | "rw" => *access = Some(false),
                "required" => {
                    self.only(key, &[Type::Secret, Type::Ssh])?;
                    self.required = true;
                }
                _ => {
                    return Err(Problem::fault(
                        format!("`{field}` of a mount has no value"),
                        "write key=value",
                    ));
                }
            }
            return Ok(());
        };
        match key {
            "type" => self.kind = named("type", &value, &TYPES)?,
            "from" => self.from = Some(value).filter(|from| !from.is_empty()),
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "readonly" | "ro" => *access = Some(truth(key, &value)?),
            "readwrite" | "rw" => *access = Some(!truth(key, &value)?),
            "required" => {
                self.only(key, &[Type::Secret, Type::Ssh])?;
                self.required = truth(key, &value)?;
            }
            "size" => {
                self.only(key, &[Type::Tmpfs])?;
                self.size = bytes(&value)?;
            }
            "id" => self.id = value,
            "sharing" => self.sharing = Some(named("sharing", &value, &SHARING)?),
            "mode" => self.mode = Some(number(key, &value, 8)?),
            "uid" => self.uid = Some(number(key, &value, 10)?),
            "gid" => self.gid = Some(number(key, &value, 10)?),
            "env" => self.env = Some(value),
            _ => {
                return Err(Problem::fault(
                    format!("a mount has no option `{key}`"),
                    "take it away, or mend its name",
                ));
            }
        }
        Ok(())
    }

    fn only(&self, key: &str, kinds: &[Type]) -> Result<(), Problem> {
        if kinds.contains(&self.kind) {
            return Ok(());
        }
        Err(self.odd(key))
    }

    fn odd(&self, key: &str) -> Problem {
        let kind = self.kind.name();
        Problem::fault(
            format!("a mount of type {kind} takes no `{key}`"),
            "take it away, or write type=… before it",
        )
    }

    fn complete(&mut self, access: Option<bool>) -> Result<(), Problem> {
        let owned = matches!(self.kind, Type::Secret | Type::Ssh | Type::Cache);
        let keys = [
            ("mode", self.mode.is_some()),
            ("uid", self.uid.is_some()),
            ("gid", self.gid.is_some()),
        ];
        if let Some((key, _)) = keys.iter().find(|(_, set)| *set && !owned) {
            return Err(self.odd(key));
        }
        if self.sharing.is_some() && self.kind != Type::Cache {
            return Err(self.odd("sharing"));
        }
        let written = matches!(self.kind, Type::Cache | Type::Tmpfs);
        self.read_only = access.unwrap_or(!written);
        match self.kind {
            Type::Secret => self.secret(),
            Type::Ssh if !self.source.is_empty() => Err(self.odd("source")),
            _ => Ok(()),
        }
    }

    fn secret(&self) -> Result<(), Problem> {
        if self.from.is_some() {
            return Err(self.odd("from"));
        }
        if self.source.is_empty() && self.target.is_empty() && self.id.is_empty() {
            return Err(Problem::fault(
                "a mount of type secret names no secret",
                "name it: --mount=type=secret,id=NAME",
            ));
        }
        if !self.source.is_empty() && !self.id.is_empty() {
            return Err(Problem::fault(
                "a mount of type secret has both `source` and `id`",
                "keep the id",
            ));
        }
        Ok(())
    }
}

const SHARING: [(&str, Sharing); 3] = [
    ("shared", Sharing::Shared),
    ("private", Sharing::Private),
    ("locked", Sharing::Locked),
];

fn named<T: Copy>(key: &str, value: &str, table: &[(&str, T)]) -> Result<T, Problem> {
    let wanted = value.to_lowercase();
    let found = table.iter().find(|(name, _)| *name == wanted);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
        Problem::fault(
            format!("`{key}` of a mount is `{value}`"),
            format!("write one of {}", names.join(", ")),
        )
    })
}

/// `strconv.ParseBool`.
pub(super) fn go_bool(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn truth(key: &str, value: &str) -> Result<bool, Problem> {
    go_bool(value).ok_or_else(|| {
        Problem::fault(
            format!("`{key}` of a mount is `{value}`"),
            "write true or false",
        )
    })
}

fn number(key: &str, value: &str, radix: u32) -> Result<u32, Problem> {
    let digits = value.chars().all(|c| c.is_digit(radix));
    let number = digits.then(|| u32::from_str_radix(value, radix).ok());
    number.flatten().ok_or_else(|| {
        let kind = if radix == 8 { "an octal" } else { "a decimal" };
        Problem::fault(
            format!("`{key}` of a mount is `{value}`"),
            format!("write {kind} number"),
        )
    })
}

/// `64m`, `1.5GiB`: `units.RAMInBytes`.
fn bytes(value: &str) -> Result<u64, Problem> {
    let wrong = || {
        Problem::fault(
            format!("`size` of a mount is `{value}`"),
            "write a size such as 64m or 1g",
        )
    };
    let end = value.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ');
    let (number, unit) = value.split_at(end.map_or(0, |at| at + 1));
    let number = number.strip_suffix(' ').unwrap_or(number);
    let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.to_lowercase();
    let mut letters = unit.chars();
    let power = match letters.next() {
        None | Some('b') => 0,
        Some(letter) => 1 + "kmgtp".find(letter).ok_or_else(wrong)?,
    };
    let tail = letters.as_str();
    let fits = if power == 0 {
        tail.is_empty()
    } else {
        ["", "b", "ib"].contains(&tail)
    };
    if !plain || !fits {
        return Err(wrong());
    }
    let total = number * 1024_f64.powi(i32::try_from(power).unwrap_or(0));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a float saturates, and the number is not negative"
    )]
    Ok(total as u64)
}

/// Fields between commas; a field in double quotes may hold commas, and `""` for a quote.
fn csv(text: &str) -> Result<Vec<String>, Problem> {
    let wrong = || Problem::fault("the options of a mount cannot be read", "mend the quotes");
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let Some(mut quoted) = rest.strip_prefix('"') else {
            let (field, after) = match rest.split_once(',') {
                Some((field, after)) => (field, Some(after)),
                None => (rest, None),
            };
            if field.contains('"') {
                return Err(wrong());
            }
            fields.push(field.to_owned());
            match after {
                Some(after) => rest = after,
                None => return Ok(fields),
            }
            continue;
        };
        let mut field = String::new();
        let after = loop {
            let (part, after) = quoted.split_once('"').ok_or_else(wrong)?;
            field.push_str(part);
            match after.strip_prefix('"') {
                Some(more) => {
                    field.push('"');
                    quoted = more;
                }
                None => break after,
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Ok(fields),
            None => return Err(wrong()),
        }
    }
}
