//! The binary: hands arguments, environment and streams to the library.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
