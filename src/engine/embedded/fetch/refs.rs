//! Which commit a reference of a repository means, by what `git ls-remote --symref` lists.

/// What a source means now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meant {
    pub(super) commit: String,
    /// the tag's own object, when it is annotated
    pub(super) tag: Option<String>,
    /// full name on the server; none for a commit
    pub(super) name: Option<String>,
}

pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Branches go before tags, and both before what the server calls so itself.
pub(super) fn meant(listed: &str, reference: &str) -> Option<Meant> {
    let find = |name: &str| {
        listed.lines().find_map(|line| {
            let (commit, found) = line.split_once('\t')?;
            (found == name && is_commit(commit)).then(|| commit.to_owned())
        })
    };
    let names = [
        format!("refs/heads/{reference}"),
        format!("refs/tags/{reference}"),
        reference.to_owned(),
        format!("refs/{reference}"),
    ];
    let (commit, tag, name) = names.into_iter().find_map(|name| {
        let own = find(&name)?;
        Some(match find(&format!("{name}^{{}}")) {
            Some(commit) => (commit, Some(own), name),
            None => (own, None, name),
        })
    })?;
    // What the default branch is called.
    let default = listed.lines().find_map(|line| {
        let (name, head) = line.strip_prefix("ref: ")?.split_once('\t')?;
        (head == "HEAD").then(|| name.to_owned())
    });
    let name = if name == "HEAD" { default } else { Some(name) };
    Some(Meant { commit, tag, name })
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[test]
    fn branches_tags_and_the_default_branch_are_told_apart() {
        let id = |digit: &str| digit.repeat(40);
        let listed = [
            "ref: refs/heads/main\tHEAD".to_owned(),
            format!("{}\tHEAD", id("a")),
            format!("{}\trefs/heads/main", id("a")),
            format!("{}\trefs/heads/both", id("b")),
            format!("{}\trefs/tags/both", id("c")),
            format!("{}\trefs/tags/v1", id("d")),
            format!("{}\trefs/tags/v1^{{}}", id("e")),
        ]
        .join("\n");
        for (reference, commit, tag, name) in [
            ("HEAD", "a", None, "refs/heads/main"),
            ("both", "b", None, "refs/heads/both"),
            ("v1", "e", Some("d"), "refs/tags/v1"),
            ("refs/tags/both", "c", None, "refs/tags/both"),
        ] {
            let found = meant(&listed, reference).unwrap();
            assert_eq!(found.commit, id(commit), "{reference}");
            assert_eq!(found.tag, tag.map(id), "{reference}");
            assert_eq!(found.name.as_deref(), Some(name), "{reference}");
        }
        assert_eq!(meant(&listed, "none"), None);
    }
}
