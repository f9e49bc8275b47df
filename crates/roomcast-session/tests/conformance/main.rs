//! Runs the traces of `conformance/sessions.json` through the client's state machine: no sockets, a clock and a chance
//! of their own. How a trace is read stands in `conformance/README.md`. What a trace means is not decided here.

mod pattern;
mod run;
mod shelf;

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::PathBuf,
};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{pattern::Variables, run::Run};

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
struct Sessions {
    #[serde(rename = "about")]
    _about: String,
    r#where: Variables,
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    about: String,
    traces: Vec<Trace>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trace {
    name: String,
    after: Option<String>,
    #[serde(default)]
    client: Map<String, Value>,
    each: Option<Vec<Variables>>,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Step {
    #[serde(default)]
    out: Vec<Value>,
    #[serde(default)]
    told: Vec<Value>,
    /// What happens, by one key.
    #[serde(flatten)]
    input: Map<String, Value>,
}

fn sessions() -> Sessions {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/sessions.json");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The trace with what comes before it.
fn whole(trace: &Trace, all: &HashMap<String, Trace>) -> (Map<String, Value>, Vec<Step>) {
    let Some(after) = &trace.after else { return (trace.client.clone(), trace.steps.clone()) };
    let before = all.get(after).unwrap_or_else(|| panic!("{}: there is no trace {after:?}", trace.name));
    let (mut client, mut steps) = whole(before, all);
    client.extend(trace.client.clone());
    steps.extend(trace.steps.clone());
    (client, steps)
}

fn play(
    (client, steps): (Map<String, Value>, Vec<Step>),
    known: &Variables,
    each: &Variables,
) -> Result<(), String> {
    let mut variables = known.clone();
    variables.extend(each.clone());
    let mut run = Run::new(client, variables);
    let mut steps = steps.iter().enumerate();
    steps.try_for_each(|(n, step)| {
        run.step(step)
            .map_err(|error| format!("step {}, {}: {error}", n + 1, Value::from(step.input.clone())))
    })
}

fn assert_unique_names(groups: &[Group]) {
    let mut names = HashSet::new();
    for Group { about, traces } in groups {
        assert!(!traces.is_empty(), "{about}");
        for trace in traces {
            assert!(names.insert(&trace.name), "two traces are {:?}", trace.name);
        }
    }
}

#[test]
fn sessions_go_as_written() {
    let Sessions { r#where: known, groups, .. } = sessions();
    assert_unique_names(&groups);
    let traces: Vec<Trace> = groups.into_iter().flat_map(|group| group.traces).collect();
    let all: HashMap<_, _> = traces.iter().map(|trace| (trace.name.clone(), trace.clone())).collect();
    let once = vec![Variables::new()];
    let mut failures = Vec::new();
    for trace in &traces {
        for each in trace.each.as_ref().unwrap_or(&once) {
            let outcome = play(whole(trace, &all), &known, each);
            failures.extend(outcome.err().map(|error| format!("{} {}: {error}", trace.name, json!(each))));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
