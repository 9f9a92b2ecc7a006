//! Which day a run is of.

use crate::{
    advisory::grade::AsOf,
    config::{Cli, Environment, cli::Command},
    error::Error,
};

/// The day that was asked for, else now.
pub(super) fn as_of(
    cli: &Cli,
    environment: &Environment,
    now: jiff::Timestamp,
) -> Result<AsOf, Error> {
    let Command::Scan(args) = &cli.command else {
        return Ok(AsOf::Instant(now));
    };
    let day = day_asked(args.as_of, environment)?;
    Ok(day.map_or(AsOf::Instant(now), AsOf::Day))
}

/// The day of the option, else of the variable.
pub(super) fn day_asked(
    option: Option<jiff::civil::Date>,
    environment: &Environment,
) -> Result<Option<jiff::civil::Date>, Error> {
    if option.is_some() {
        return Ok(option);
    }
    let variable = environment.text("PLIMSOLL_AS_OF").map(|day| {
        day.parse().map_err(|error: jiff::Error| Error::Usage {
            what: format!("PLIMSOLL_AS_OF `{day}`: {error}"),
            hint: Some("write a day as 2026-01-31".to_owned()),
        })
    });
    variable.transpose()
}

/// What package lists are dated by: `SOURCE_DATE_EPOCH`, else the time of the grade. Whether the
/// variable can be read was found out with the configuration.
pub(super) fn documented(environment: &Environment, as_of: AsOf) -> jiff::Timestamp {
    let epoch = environment.text("SOURCE_DATE_EPOCH");
    let epoch = epoch.and_then(|seconds| seconds.trim().parse().ok());
    let epoch = epoch.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    epoch.unwrap_or_else(|| as_of.timestamp())
}
