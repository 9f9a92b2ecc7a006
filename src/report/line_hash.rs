//! GitHub's `primaryLocationLineHash`: the only fingerprint that code scanning uses, which the API
//! does not compute by itself.

use std::collections::HashMap;

/// Code units that go into one hash.
const BLOCK: usize = 100;
const BASE: u64 = 37;
const END: u16 = 65535;

/// One hash a line: a polynomial over the next hundred UTF-16 units from the line's start with
/// spaces and tabs left out and line ends made `\n`; `:n` says how often that hash came before.
pub(crate) fn line_hashes(text: &str) -> Vec<String> {
    let mut stream = Vec::with_capacity(text.len() + 1);
    let mut starts = Vec::new();
    let (mut at_start, mut after_cr) = (true, false);
    for unit in text.encode_utf16().chain([END]) {
        let is = |c: char| unit == c as u16;
        if is(' ') || is('\t') || (after_cr && is('\n')) {
            after_cr = false;
            continue;
        }
        after_cr = is('\r');
        let unit = if after_cr { u16::from(b'\n') } else { unit };
        if at_start {
            starts.push(stream.len());
        }
        at_start = unit == u16::from(b'\n');
        stream.push(unit);
    }
    let mut seen: HashMap<u64, u32> = HashMap::new();
    starts
        .into_iter()
        .map(|start| {
            let units = stream[start..]
                .iter()
                .copied()
                .chain(std::iter::repeat(0))
                .take(BLOCK);
            let hash = units.fold(0u64, |hash, unit| {
                hash.wrapping_mul(BASE).wrapping_add(u64::from(unit))
            });
            let count = seen.entry(hash).or_default();
            *count += 1;
            format!("{hash:x}:{count}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::line_hashes;

    /// Vectors of the uploader's own unit tests (github/codeql-action).
    #[test]
    fn hashes_equal_the_uploaders_own_vectors() {
        let lorem = "Lorem ipsum dolor sit amet.\n".repeat(10);
        let cases: [(&str, Vec<&str>); 4] = [
            ("", vec!["c129715d7a2bc9a3:1"]),
            (
                " a\nb\n  \t\tc\n d",
                vec![
                    "271789c17abda88f:1",
                    "54703d4cd895b18:1",
                    "180aee12dab6264:1",
                    "a23a3dc5e078b07b:1",
                ],
            ),
            (
                " hello; \t\r\nworld!!!\r\n\r\n\r\n  \t\tGreetings\r\n End\r\n",
                vec![
                    "e9496ae3ebfced30:1",
                    "fb7c023a8b9ccb3f:1",
                    "ce8ba1a563dcdaca:1",
                    "e20e36e16fcb0cc8:1",
                    "b3edc88f2938467e:1",
                    "c8e28b0b4002a3a0:1",
                    "c129715d7a2bc9a3:1",
                ],
            ),
            (
                &lorem,
                vec![
                    "a7f2ff13bc495cf2:1",
                    "a7f2ff13bc495cf2:2",
                    "a7f2ff13bc495cf2:3",
                    "a7f2ff13bc495cf2:4",
                    "a7f2ff13bc495cf2:5",
                    "a7f2ff13bc495cf2:6",
                    "a7f2ff1481e87703:1",
                    "a9cf91f7bbf1862b:1",
                    "55ec222b86bcae53:1",
                    "cc97dc7b1d7d8f7b:1",
                    "c129715d7a2bc9a3:1",
                ],
            ),
        ];
        for (text, want) in cases {
            assert_eq!(line_hashes(text), want, "{text:?}");
        }
    }
}
