//! Texts made to fit: cut at whole characters or lines, never in the middle of markup.

/// The first `most` characters; the last of them `…` when something was cut.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Markdown of at most `limit` units, as `size` counts them, cut after a whole line; what is open
/// there is closed, and `closing` says where the rest is.
pub fn fit_markdown(
    markdown: &str,
    limit: usize,
    closing: &str,
    size: impl Fn(&str) -> usize,
) -> String {
    if size(markdown) <= limit {
        return markdown.to_owned();
    }
    let ending = |open: usize| format!("\n{}\n{closing}\n", "</details>\n".repeat(open));
    let (mut kept, mut used, mut open) = (String::new(), 0_usize, 0_usize);
    for line in markdown.split_inclusive('\n') {
        let opened = line.matches("<details").count();
        let closed = line.matches("</details>").count();
        let now_open = (open + opened).saturating_sub(closed);
        used += size(line);
        // What closes it must fit as well, even if it stays open for a while.
        if used + size(&ending(now_open.max(open))) > limit {
            break;
        }
        kept.push_str(line);
        open = now_open;
    }
    kept + &ending(open)
}

/// How GitHub counts the length of a comment: in the units of UTF-16, to be safe.
pub fn utf16(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{cut, fit_markdown, utf16};

    #[test]
    fn a_text_is_cut_at_whole_characters_and_says_so() {
        assert_eq!(cut("héllo", 5), "héllo");
        assert_eq!(cut("héllo!", 5), "héll…");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn markdown_is_cut_after_a_line_and_what_is_open_is_closed() {
        let text = "head\n\n<details><summary>x</summary>\n\n- one\n- two\n</details>\n".to_owned()
            + &"- more\n".repeat(50);
        let short = fit_markdown(&text, 90, "the rest is elsewhere", str::len);
        assert!(short.len() <= 90, "{short}");
        assert_eq!(
            short.matches("<details").count(),
            short.matches("</details>").count(),
            "{short}"
        );
        assert!(short.ends_with("the rest is elsewhere\n"), "{short}");
        assert_eq!(fit_markdown("short\n", 90, "rest", str::len), "short\n");
    }

    proptest! {
        #[test]
        fn what_was_fitted_fits(text in "(a|é|😀|<details>|</details>|\n){0,300}", limit in 60_usize..200) {
            let short = fit_markdown(&text, limit, "the rest is elsewhere", utf16);
            prop_assert!(utf16(&short) <= limit.max(utf16(&text).min(limit)));
        }
    }
}
