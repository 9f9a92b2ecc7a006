//! The grade over time as a bar, one piece a grade. Pieces are as wide as their time, but no
//! narrower than their letter.

use maud::{Markup, html};

use crate::{
    advisory::grade::Span,
    report::{badge, errata::day},
};

/// Units of the drawing; the page scales it.
const WIDTH: i64 = 720;
/// Room for a letter.
const LEAST: i64 = 40;
const DAY: i64 = 86_400;
/// Days that the last grade is drawn for, which has no end.
const TAIL: i64 = 60;

/// The bar, with its dates below and as text for those who cannot see it.
pub(super) fn timeline(spans: &[Span]) -> Markup {
    let days = |span: &Span| {
        let end = span.end.map(jiff::Timestamp::as_second);
        let length = end.map_or(TAIL, |end| (end - span.start.as_second()) / DAY);
        length.clamp(1, 3650)
    };
    let total: i64 = spans.iter().map(days).sum::<i64>().max(1);
    let count = i64::try_from(spans.len()).unwrap_or(1);
    let free = (WIDTH - LEAST * count).max(0);
    let mut at = 0;
    let pieces = spans.iter().map(|span| {
        let width = LEAST + free * days(span) / total;
        let piece = (at, width, span);
        at += width;
        piece
    });
    let pieces: Vec<_> = pieces.collect();
    let told = spans
        .iter()
        .map(|span| format!("{} from {}", span.grade, day(span.start)));
    let told = told.collect::<Vec<_>>().join(", ");
    html! {
        svg.timeline viewBox=(format!("0 0 {WIDTH} 64")) role="img" aria-label=(told) {
            title { (told) }
            @for (index, (x, width, span)) in pieces.iter().enumerate() {
                rect x=(x) y="0" width=(width) height="32" fill=(badge::color(span.grade)) {}
                text x=(x + width / 2) y="22" text-anchor="middle" fill="#fff" font-size="18" { (badge::letter(span.grade)) }
                // dates in two rows, so that neighbours do not touch
                text x=(x) y=(if index % 2 == 0 { 45 } else { 60 }) font-size="11" fill="currentColor" { (day(span.start)) }
            }
        }
    }
}
