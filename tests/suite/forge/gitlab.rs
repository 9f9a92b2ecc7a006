//! The note on a merge request.

use std::sync::{Arc, Mutex};

use plimsoll::ci::{api::Api, gitlab::put_note};
use serde_json::{Value, json};

use super::{TOKEN, options, words};
use crate::support::registry::{Double, Reply};

/// A GitLab with notes; who is asked is user 5.
fn gitlab(notes: &Arc<Mutex<Vec<Value>>>, me: u16) -> Double {
    let notes = Arc::clone(notes);
    Double::start(move |seen| {
        let path = seen.path.strip_prefix("/api/v4").unwrap_or_default();
        let body: Value = serde_json::from_slice(&seen.body).unwrap_or(Value::Null);
        let mut notes = notes.lock().unwrap();
        match seen.method.as_str() {
            "GET" if path == "/user" => Reply::new(me, r#"{"id":5}"#),
            "GET" => Reply::new(200, Value::from(notes.clone()).to_string()),
            "POST" => {
                let id = 100 + notes.len();
                let note = json!({ "id": id, "body": body["body"], "author": { "id": 5 } });
                notes.push(note.clone());
                Reply::new(201, note.to_string())
            }
            _ => {
                let id = path.rsplit('/').next().unwrap_or_default();
                let note = notes
                    .iter_mut()
                    .find(|note| note["id"].as_u64() == id.parse().ok());
                note.unwrap()["body"] = body["body"].clone();
                Reply::new(200, "{}")
            }
        }
    })
}

#[test]
fn one_note_is_written_over_and_over_and_no_other() {
    for me in [200, 403] {
        let notes = Arc::new(Mutex::new(vec![
            json!({ "id": 1, "body": "hello", "author": { "id": 9 } }),
        ]));
        let forge = gitlab(&notes, me);
        let (options, _) = options(&format!("http://{}/api/v4", forge.host()));
        let api = Api::gitlab(options).unwrap();
        for text in ["first", "second"] {
            put_note(&api, 3, 8, "plimsoll/Dockerfile", text).unwrap();
        }
        let notes = notes.lock().unwrap().clone();
        assert_eq!(notes.len(), 2);
        assert_eq!(
            notes[1]["body"],
            "<!-- plimsoll: plimsoll/Dockerfile -->\nsecond"
        );
        let seen = forge.requests();
        let last = seen.last().unwrap();
        let path = "/api/v4/projects/3/merge_requests/8/notes/101";
        assert_eq!((last.method.as_str(), last.path.as_str()), ("PUT", path));
        assert!(seen.iter().all(|seen| seen.authorization.is_none()));
    }
}

#[test]
fn a_note_of_somebody_else_with_the_same_mark_is_left_alone() {
    let theirs = "<!-- plimsoll: n -->\ntheirs";
    let notes = Arc::new(Mutex::new(vec![
        json!({ "id": 1, "body": theirs, "author": { "id": 9 } }),
    ]));
    let forge = gitlab(&notes, 200);
    let (options, _) = options(&format!("http://{}/api/v4", forge.host()));
    put_note(&Api::gitlab(options).unwrap(), 3, 8, "n", "ours").unwrap();
    let notes = notes.lock().unwrap().clone();
    assert_eq!((notes.len(), notes[0]["body"].as_str()), (2, Some(theirs)));
}

#[test]
fn a_token_that_may_not_is_told_what_it_needs() {
    let forge = Double::start(|_| Reply::new(403, r#"{"error":"insufficient_scope"}"#));
    let (options, _) = options(&format!("http://{}/api/v4", forge.host()));
    let error = put_note(&Api::gitlab(options).unwrap(), 3, 8, "n", "x").unwrap_err();
    let said = words(&error);
    assert!(
        said.contains("insufficient_scope") && said.contains("scope api"),
        "{said}"
    );
    assert!(!said.contains(TOKEN));
}
