//! User and group names of an image, out of its `etc/passwd` and `etc/group`.

use std::collections::HashMap;

/// Names and numbers of one of the two files. As rpm has it, root is 0 whatever the file says.
#[derive(Debug, Default)]
pub(super) struct Owners {
    by_name: HashMap<Box<[u8]>, u32>,
    by_number: HashMap<u32, Box<[u8]>>,
}

impl Owners {
    /// Lines `name:…:number:…`; others are passed over, and the first of equals counts, as in libc.
    pub(super) fn parse(file: Option<&[u8]>) -> Self {
        let mut owners = Self::default();
        for line in file.unwrap_or_default().split(|&byte| byte == b'\n') {
            let mut fields = line.split(|&byte| byte == b':');
            let (Some(name), Some(number)) = (fields.next(), fields.nth(1)) else {
                continue;
            };
            let number = str::from_utf8(number)
                .ok()
                .and_then(|number| number.parse().ok());
            if let (false, Some(number)) = (name.is_empty(), number) {
                owners.by_name.entry(name.into()).or_insert(number);
                owners
                    .by_number
                    .entry(number)
                    .or_insert_with(|| name.into());
            }
        }
        owners
    }

    /// Whether `number` is `name`, either way round, as rpm compares them.
    pub(super) fn agree(&self, name: &str, number: u32) -> bool {
        if number == 0 {
            return name == "root" || self.by_name.get(name.as_bytes()) == Some(&0);
        }
        let same_name = self
            .by_number
            .get(&number)
            .is_some_and(|known| **known == *name.as_bytes());
        let same_number = name != "root" && self.by_name.get(name.as_bytes()) == Some(&number);
        same_name || same_number
    }

    /// The name of a number, or the number.
    pub(super) fn show(&self, number: u32) -> String {
        match self.by_number.get(&number) {
            _ if number == 0 => "root".to_owned(),
            Some(name) => String::from_utf8_lossy(name).into_owned(),
            None => number.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Owners;

    #[test]
    fn names_and_numbers_agree_as_rpm_has_it() {
        let owners = Owners::parse(Some(
            b"root:x:0:0::/:\nbin:x:1:1\nalias:x:1:1\nbad\n:x:7:\nodd:x:y:\n",
        ));
        for (name, number, want) in [
            ("root", 0, true),
            ("bin", 1, true),
            ("alias", 1, true),
            ("bin", 0, false),
            ("root", 1, false),
            ("nobody", 99, false),
        ] {
            assert_eq!(owners.agree(name, number), want, "{name} {number}");
        }
        assert!(Owners::parse(None).agree("root", 0));
        assert_eq!(
            (owners.show(1), owners.show(7)),
            ("bin".to_owned(), "7".to_owned())
        );
    }
}
