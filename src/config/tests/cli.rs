//! The command line: its grammar, its help, and that it agrees with the environment.

use std::ffi::OsString;

use clap_complete::Shell;

use crate::config::{
    Cli,
    cli::{Command, SchemaOf},
    given::KEYS,
};

/// Stands in for the table that the program hands in.
const CODES: &str = "  0  all that was asked succeeded
  4  could not assess";

fn parse(args: &str) -> Result<Cli, clap::Error> {
    let args = std::iter::once("plimsoll").chain(args.split_whitespace());
    Cli::from_args(args.map(OsString::from), CODES)
}

#[test]
fn the_grammar_holds_together() {
    Cli::grammar("").debug_assert();
}

#[test]
fn help_goes_to_standard_output_and_usage_errors_exit_with_2() {
    for args in [
        "--help",
        "-h",
        "--version",
        "run --help",
        "scan -h",
        "explain --help",
    ] {
        let error = parse(args).unwrap_err();
        assert_eq!(
            (error.exit_code(), error.use_stderr()),
            (0, false),
            "{args}"
        );
    }
    for args in [
        "",
        "fly",
        "scan",
        "run --nonsense",
        "run --quiet --verbose",
        "schema x",
        "completions",
        "run --color blue",
    ] {
        let error = parse(args).unwrap_err();
        assert_eq!((error.exit_code(), error.use_stderr()), (2, true), "{args}");
    }
}

#[test]
fn help_has_examples_and_exit_codes() {
    let top = parse("--help").unwrap_err().to_string();
    assert!(top.contains(&format!("Exit codes:\n{CODES}")), "{top}");
    for command in Cli::grammar("").get_subcommands() {
        let help = parse(&format!("{} --help", command.get_name()))
            .unwrap_err()
            .to_string();
        let example = format!("Examples:\n  plimsoll {}", command.get_name());
        assert!(help.contains(&example), "{help}");
    }
}

#[test]
fn every_option_has_help_without_full_stop() {
    for command in Cli::grammar("").get_subcommands() {
        for arg in command.get_arguments() {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                !help.is_empty() && !help.ends_with('.'),
                "{}: {help:?}",
                arg.get_id()
            );
        }
    }
}

#[test]
fn every_example_of_the_help_parses() {
    let mut seen = 0;
    let mut grammar = Cli::grammar("");
    grammar.build();
    let helps = grammar
        .get_subcommands()
        .filter_map(|command| command.get_after_help());
    let top = grammar.get_after_help();
    for help in helps.chain(top) {
        for line in help.to_string().lines() {
            let Some(line) = line.trim().strip_prefix("plimsoll ") else {
                continue;
            };
            // What a shell would do with pipes, comments and quotes.
            let line = line
                .split(" > ")
                .next()
                .unwrap()
                .split(" | ")
                .next()
                .unwrap();
            let line = line
                .split("   ")
                .next()
                .unwrap()
                .split("  ")
                .next()
                .unwrap();
            let line = line.replace("'granted by Red Hat, case 123'", "granted");
            parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen} examples");
}

#[test]
fn every_option_of_the_command_line_has_a_variable() {
    for command in Cli::grammar("").get_subcommands() {
        // These are typed once, for other runs to find what they leave.
        if ["init", "login", "logout"].contains(&command.get_name()) {
            continue;
        }
        for arg in command.get_arguments().filter(|arg| !arg.is_global_set()) {
            // A graph is dumped to be looked at, once.
            let once = ["help", "dump-llb"];
            let Some(long) = arg.get_long().filter(|long| !once.contains(long)) else {
                continue;
            };
            let flag = format!("--{long}");
            let known = KEYS
                .iter()
                .any(|key| key.flag == flag && key.names.contains(&long));
            assert!(known, "{flag} of {}", command.get_name());
        }
    }
}

#[test]
fn the_commands_are_what_they_seem() {
    assert!(matches!(
        parse("schema").unwrap().command,
        Command::Schema {
            of: SchemaOf::Config
        }
    ));
    assert!(matches!(
        parse("schema report").unwrap().command,
        Command::Schema {
            of: SchemaOf::Report
        }
    ));
    assert!(matches!(
        parse("explain").unwrap().command,
        Command::Explain { rule: None }
    ));
    let cli = parse("run check,build --format sarif=x --format table -vv --exit-zero").unwrap();
    assert_eq!(cli.global.format, ["sarif=x", "table"]);
    assert_eq!((cli.global.verbose, cli.global.exit_zero), (2, true));
    let Command::Run(run) = cli.command else {
        panic!("no run")
    };
    assert_eq!(run.stages, ["check", "build"]);
}

#[test]
fn completions_and_manual_are_made() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let text = String::from_utf8(Cli::completions(shell)).unwrap();
        assert!(text.contains("cache-from"), "{shell}");
    }
    let man = String::from_utf8(Cli::man(CODES).unwrap()).unwrap();
    for part in [
        ".TH",
        "plimsoll\\-scan",
        "could not assess",
        "\\-\\-cache\\-from",
    ] {
        assert!(man.contains(part), "{part}");
    }
}
