//! `badge`: the grade as an SVG, in the shape that README badges have. Text has fixed lengths, so
//! that it looks the same whatever fonts there are.

use std::io;

use maud::html;

use super::{Report, Reporter};
use crate::advisory::grade::{Grade, Health};

/// `--format badge`
pub struct Badge;

impl Reporter for Badge {
    fn name(&self) -> &'static str {
        "badge"
    }

    fn write(&self, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
        let (value, color) = value(report);
        writeln!(out, "{}", svg("container health", value, color))
    }
}

/// The worst grade of all platforms.
fn value(report: &Report) -> (&'static str, &'static str) {
    let mut worst = None;
    for image in &report.images {
        match image.advisories.as_ref().map(|facts| &facts.health) {
            Some(Health::Graded { grade, .. }) => worst = worst.max(Some(*grade)),
            Some(Health::Unknown(_)) => return ("unknown", GREY),
            None => return ("not assessed", GREY),
        }
    }
    worst.map_or(("not assessed", GREY), |grade| {
        (letter(grade), color(grade))
    })
}

const GREY: &str = "#6a6e73";

/// A grade's letter.
pub(super) fn letter(grade: Grade) -> &'static str {
    match grade {
        Grade::A => "A",
        Grade::B => "B",
        Grade::C => "C",
        Grade::D => "D",
        Grade::E => "E",
        Grade::F => "F",
    }
}

/// A grade's colour, dark enough for white letters.
pub(super) fn color(grade: Grade) -> &'static str {
    match grade {
        Grade::A => "#3e8635",
        Grade::B => "#5b7f1b",
        Grade::C => "#a07400",
        Grade::D => "#b35a00",
        Grade::E => "#b1380b",
        Grade::F => "#a30000",
    }
}

fn svg(label: &str, value: &str, color: &str) -> String {
    let width = |text: &str| 10 + 7 * text.chars().count();
    let (left, right) = (width(label), width(value));
    let text = |x: usize, of: usize, text: &str| {
        html! {
            text x=(x + of / 2) y="14" text-anchor="middle" textLength=(of - 10) fill="#fff" { (text) }
        }
    };
    let title = format!("{label}: {value}");
    html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(left + right) height="20" role="img" aria-label=(title) {
            title { (title) }
            rect width=(left) height="20" fill="#3c3f42" {}
            rect x=(left) width=(right) height="20" fill=(color) {}
            g font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" {
                (text(0, left, label))
                (text(left, right, value))
            }
        }
    }
    .into_string()
}
