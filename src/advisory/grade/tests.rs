use jiff::civil::date;
use proptest::prelude::*;

use super::*;

const SHIPPED: &str = "2024-01-01T13:46:48Z";

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

/// Grade of one missing advisory, some days and seconds after it was shipped.
fn after(severity: Severity, shipped: &str, days: i64, seconds: i64) -> Grade {
    let shipped = at(shipped);
    let now = Timestamp::from_second(shipped.as_second() + days * DAY + seconds).expect("a time");
    grade(&[(severity, shipped)], &[], AsOf::Instant(now))
}

#[test]
fn a_grade_holds_up_to_the_boundary_and_drops_one_second_later() {
    for (severity, days, on, later) in [
        (Severity::Critical, 0, Grade::B, Grade::B),
        (Severity::Critical, 7, Grade::B, Grade::C),
        (Severity::Critical, 30, Grade::C, Grade::D),
        (Severity::Critical, 90, Grade::D, Grade::E),
        (Severity::Critical, 365, Grade::E, Grade::F),
        (Severity::Important, 0, Grade::B, Grade::B),
        (Severity::Important, 7, Grade::B, Grade::B),
        (Severity::Important, 30, Grade::B, Grade::C),
        (Severity::Important, 90, Grade::C, Grade::D),
        (Severity::Important, 365, Grade::D, Grade::F),
        (Severity::Moderate, 9999, Grade::A, Grade::A),
        (Severity::Low, 9999, Grade::A, Grade::A),
        (Severity::None, 9999, Grade::A, Grade::A),
    ] {
        assert_eq!(after(severity, SHIPPED, days, 0), on, "{severity} {days}");
        assert_eq!(
            after(severity, SHIPPED, days, 1),
            later,
            "{severity} {days}"
        );
        // a ship date without time counts by days
        let midnight = "2024-01-01T00:00:00Z";
        assert_eq!(
            after(severity, midnight, days, DAY - 1),
            on,
            "{severity} {days}"
        );
        assert_eq!(
            after(severity, midnight, days, DAY),
            later,
            "{severity} {days}"
        );
        let day = |days| {
            AsOf::Day(
                day(at(SHIPPED))
                    .checked_add(jiff::Span::new().days(days))
                    .expect("a day"),
            )
        };
        assert_eq!(
            grade(&[(severity, at(SHIPPED))], &[], day(days)),
            on,
            "{severity} {days}"
        );
        assert_eq!(
            grade(&[(severity, at(SHIPPED))], &[], day(days + 1)),
            later,
            "{severity} {days}"
        );
    }
}

#[test]
fn what_is_shipped_in_the_future_does_not_count_yet() {
    assert_eq!(after(Severity::Critical, SHIPPED, 0, -1), Grade::A);
    let spans = timeline(
        &[(Severity::Important, at(SHIPPED))],
        &[],
        AsOf::Instant(at("2023-12-31T00:00:00Z")),
    );
    let shown: Vec<_> = spans
        .iter()
        .map(|span| (span.grade, span.start.to_string()))
        .collect();
    assert_eq!(
        shown,
        [
            (Grade::A, "2023-12-31T00:00:00Z".to_owned()),
            (Grade::B, SHIPPED.to_owned()),
            (Grade::C, "2024-01-31T13:46:49Z".to_owned()),
            (Grade::D, "2024-03-31T13:46:49Z".to_owned()),
            (Grade::F, "2024-12-31T13:46:49Z".to_owned()),
        ]
    );
}

#[test]
fn the_worked_example_has_its_published_dates() {
    let flaws = [(Severity::Important, at("2019-06-27T00:00:00Z"))];
    let spans = timeline(&flaws, &[], AsOf::Day(date(2019, 5, 1)));
    let shown: Vec<_> = spans
        .iter()
        .map(|span| (span.grade, day(span.start)))
        .collect();
    assert_eq!(
        shown,
        [
            (Grade::A, date(2019, 5, 1)),
            (Grade::B, date(2019, 6, 27)),
            (Grade::C, date(2019, 7, 28)),
            (Grade::D, date(2019, 9, 26)),
            (Grade::F, date(2020, 6, 27)),
        ]
    );
}

#[test]
fn the_day_after_the_end_of_life_is_an_f() {
    let end = EndOfLife {
        product: "redhat:enterprise_linux:7".to_owned(),
        name: "Red Hat Enterprise Linux 7".to_owned(),
        last_day: date(2024, 6, 30),
        source: "https://access.redhat.com/support/policy/updates/errata".to_owned(),
    };
    let ends = [end];
    assert_eq!(
        grade(&[], &ends, AsOf::Instant(at("2024-06-30T23:59:59Z"))),
        Grade::A
    );
    assert_eq!(
        grade(&[], &ends, AsOf::Instant(at("2024-07-01T00:00:00Z"))),
        Grade::F
    );
    assert_eq!(timeline(&[], &ends, AsOf::Day(date(2024, 6, 1))).len(), 2);
}

fn graded(scanned: usize, products: usize) -> Matched {
    let product = super::super::matching::Product {
        cpe: "cpe:/o:redhat:enterprise_linux:9".to_owned(),
        basis: super::super::matching::Basis::Layers,
    };
    Matched {
        scanned,
        products: vec![product; products],
        ..Matched::default()
    }
}

#[test]
fn what_cannot_be_told_is_unknown_with_its_reason_and_never_an_a() {
    let rhel = Evidence {
        os: Some("rhel".to_owned()),
        version: Some("9.4".to_owned()),
        ..Evidence::default()
    };
    let centos = Evidence {
        os: Some("centos".to_owned()),
        ..rhel.clone()
    };
    let nothing = Evidence::default();
    let of = |coverage, limit| Data {
        of: at("2024-01-01T00:00:00Z"),
        coverage,
        limit,
    };
    let data = Some(of(Coverage::Whole, Some(7)));
    let declared = Some(of(Coverage::Declared, Some(7)));
    let part = Some(of(Coverage::Partial, Some(7)));
    let now = AsOf::Instant(at("2024-01-08T00:00:00Z"));
    let later = AsOf::Instant(at("2024-01-08T00:00:01Z"));
    for (evidence, matched, data, as_of, wanted) in [
        (&rhel, graded(1, 1), data, now, None),
        (
            &rhel,
            graded(1, 1),
            data,
            later,
            Some("7 days before 2024-01-08"),
        ),
        (&rhel, graded(1, 1), declared, now, None),
        (
            &rhel,
            graded(1, 1),
            part,
            now,
            Some("some of Red Hat's advisories alone"),
        ),
        (&rhel, graded(1, 1), None, now, Some("database is empty")),
        (&rhel, graded(1, 0), data, now, Some("no product is known")),
        (
            &rhel,
            graded(0, 0),
            data,
            now,
            Some("no package of the image is signed"),
        ),
        (&centos, graded(1, 1), data, now, Some("`centos`")),
        (
            &nothing,
            graded(1, 1),
            data,
            now,
            Some("without os-release"),
        ),
    ] {
        let health = health(evidence, &matched, data, as_of);
        match (wanted, health) {
            (None, Health::Graded { grade, .. }) => assert_eq!(grade, Grade::A),
            (Some(reason), Health::Unknown(why)) => {
                assert!(why.to_string().contains(reason), "{why}");
            }
            (wanted, health) => panic!("{wanted:?} {health:?}"),
        }
    }
    let any_age = Some(of(Coverage::Whole, None));
    let any_age = health(&rhel, &graded(1, 1), any_age, later);
    assert!(matches!(any_age, Health::Graded { .. }));
}

fn severity() -> impl Strategy<Value = Severity> {
    proptest::sample::select(&Severity::ALL[..])
}

proptest! {
    #[test]
    fn the_timeline_says_at_every_second_what_the_grade_is(
        flaws in proptest::collection::vec((severity(), 0i64..40_000_000), 0..6),
        ended in proptest::option::of(0i64..500),
        from in -1_000_000i64..20_000_000,
        ask in proptest::collection::vec(0i64..80_000_000, 8),
        days in any::<bool>(),
    ) {
        let time = |seconds| Timestamp::from_second(1_700_000_000 + seconds).expect("a time");
        let flaws: Vec<_> = flaws.into_iter().map(|(severity, at)| (severity, time(at))).collect();
        let ends: Vec<_> = ended.into_iter().map(|days| EndOfLife {
            product: String::new(), name: String::new(), last_day: day(time(days * DAY)), source: String::new(),
        }).collect();
        let as_of = |at| if days { AsOf::Day(day(at)) } else { AsOf::Instant(at) };
        let spans = timeline(&flaws, &ends, as_of(time(from)));
        for pair in spans.windows(2) {
            prop_assert!(pair[0].grade < pair[1].grade);
            prop_assert_eq!(pair[0].end, Some(pair[1].start));
        }
        prop_assert_eq!(spans.last().expect("one").end, None);
        let near = spans.iter().flat_map(|span| [span.start.as_second() - 1, span.start.as_second()]);
        let near: Vec<_> = near.map(|second| second - 1_700_000_000).collect();
        for second in ask.into_iter().chain(near) {
            let asked = as_of(time(second));
            let covering = spans.iter().rev().find(|span| span.start <= asked.timestamp());
            if let Some(span) = covering {
                prop_assert_eq!(span.grade, grade(&flaws, &ends, asked));
            }
        }
    }
}
