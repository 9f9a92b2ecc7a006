//! `EXPOSE`: `[ip:][host:]port[-port][/protocol]` to `port/protocol`.

use super::problem::Problem;

/// The ports that one word names.
pub(super) fn parse(word: &str) -> Result<Vec<String>, Problem> {
    let wrong = |why: &str| {
        Problem::fault(
            format!(
                "EXPOSE names the port `{}`: {why}",
                super::lex::shortened(word)
            ),
            "write a port such as 8080, 8080/udp or 8000-8010",
        )
    };
    let mut pieces = word.rsplitn(3, ':');
    let container = pieces.next().unwrap_or("");
    let (host, ip) = (pieces.next().unwrap_or(""), pieces.next().unwrap_or(""));
    let (ports, protocol) = container.split_once('/').unwrap_or((container, ""));
    let protocol = match protocol.to_lowercase().as_str() {
        "" => "tcp".to_owned(),
        known @ ("tcp" | "udp" | "sctp") => known.to_owned(),
        _ => return Err(wrong("the protocol may be tcp, udp or sctp")),
    };
    let plain = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
    let ip = plain.unwrap_or(ip);
    if !ip.is_empty() && ip.parse::<std::net::IpAddr>().is_err() {
        return Err(wrong("the address is none"));
    }
    let (first, last) = range(ports).ok_or_else(|| wrong("it is no port or range of ports"))?;
    if !host.is_empty() {
        let (low, high) = range(host).ok_or_else(|| wrong("the host port is no port"))?;
        if high - low != last - first && first != last {
            return Err(wrong("the ranges differ in length"));
        }
    }
    Ok((first..=last)
        .map(|port| format!("{port}/{protocol}"))
        .collect())
}

fn range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    (first <= last).then_some((first, last))
}

fn port(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let number = digits
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| digits.parse().ok())??;
    (number <= 65_535).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn ports_are_read_as_buildkit_reads_them() {
        for (word, want) in [
            ("80", &["80/tcp"][..]),
            ("80/UDP", &["80/udp"]),
            ("80/", &["80/tcp"]),
            ("8000-8002", &["8000/tcp", "8001/tcp", "8002/tcp"]),
            ("1-1", &["1/tcp"]),
            ("8080:80", &["80/tcp"]),
            ("127.0.0.1:8080:80/sctp", &["80/sctp"]),
            ("[::1]:8080:80", &["80/tcp"]),
            ("8000-8005:80", &["80/tcp"]),
        ] {
            assert_eq!(parse(word).unwrap(), want, "{word}");
        }
        for word in [
            "",
            "x",
            "70000",
            "2-1",
            "80/icmp",
            "1.2.3:1:1",
            "1-3:5-6",
            "-1",
            ":",
            "1-2-3",
        ] {
            assert!(parse(word).is_err(), "{word}");
        }
    }
}
