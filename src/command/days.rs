//! Which day a run is of.

use crate::{
    advisory::grade::AsOf,
    config::{Cli, Environment, Origin, cli::Command},
    error::Error,
    plan::Plan,
};

/// The day that was asked for, else now. What is pushed goes by what is known today.
pub(super) fn as_of(
    cli: &Cli,
    environment: &Environment,
    plans: &[Plan],
    now: jiff::Timestamp,
) -> Result<AsOf, Error> {
    let option = match &cli.command {
        Command::Scan(args) => args.as_of,
        Command::Run(_) | Command::Push(_) => None,
        _ => return Ok(AsOf::Instant(now)),
    };
    let day = day_asked(option, environment)?;
    if let (Some(day), true) = (day, plans.iter().any(|plan| plan.push.is_some())) {
        return Err(Error::Usage {
            what: format!("an image is pushed by its grade of today, and {day} was asked for"),
            hint: Some("leave out `as-of`, or the push".to_owned()),
        });
    }
    Ok(day.map_or(AsOf::Instant(now), AsOf::Day))
}

/// The day of the option, else of the environment or the inputs.
pub(super) fn day_asked(
    option: Option<jiff::civil::Date>,
    environment: &Environment,
) -> Result<Option<jiff::civil::Date>, Error> {
    let set = environment.setting("as-of");
    let (None, Some((name, day))) = (option, set) else {
        return Ok(option);
    };
    let day = day.expose_str().unwrap_or_default().trim();
    match day.parse() {
        Ok(day) => Ok(Some(day)),
        Err(error) => Err(Error::Usage {
            what: format!("{}: `{day}`: {error}", Origin::Variable(name)),
            hint: Some("write a day as 2026-01-31".to_owned()),
        }),
    }
}

/// What package lists are dated by: `SOURCE_DATE_EPOCH`, else the time of the grade. Whether the
/// variable can be read was found out with the configuration.
pub(super) fn documented(environment: &Environment, as_of: AsOf) -> jiff::Timestamp {
    let epoch = environment.text("SOURCE_DATE_EPOCH");
    let epoch = epoch.and_then(|seconds| seconds.trim().parse().ok());
    let epoch = epoch.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    epoch.unwrap_or_else(|| as_of.timestamp())
}
