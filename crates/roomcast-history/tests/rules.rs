//! Each rule finds what it is for: every broken history is one change to a good one.

// A test that can't go on should stop there.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use roomcast_history::{Event, Finding, History, Rule};

const GOOD: [&str; 14] = [
    r#"{"ev":"join","client":"r","room":"x","epoch":"e","seq":0,"from":0}"#,
    r#"{"ev":"pub","client":"p","room":"x","id":"a","content":"A"}"#,
    r#"{"ev":"pub","client":"q","room":"x","id":"b","content":"B"}"#,
    r#"{"ev":"ack","client":"p","room":"x","id":"a","epoch":"e","seq":1,"durability":"synced"}"#,
    r#"{"ev":"pub","client":"p","room":"x","id":"c","content":"C"}"#,
    r#"{"ev":"recv","client":"r","room":"x","id":"a","epoch":"e","seq":1,"content":"A"}"#,
    r#"{"ev":"join","client":"r","room":"y","epoch":"e","seq":9,"from":7}"#,
    r#"{"ev":"ack","client":"q","room":"x","id":"b","epoch":"e","seq":2,"durability":"synced"}"#,
    r#"{"ev":"ack","client":"p","room":"x","id":"c","epoch":"e","seq":3,"durability":"synced"}"#,
    r#"{"ev":"note","text":"cut"}"#,
    r#"{"ev":"join","client":"r","room":"x","epoch":"e","seq":3,"from":1,"since":{"epoch":"e","seq":1},"recovered":true}"#,
    r#"{"ev":"recv","client":"r","room":"x","id":"b","epoch":"e","seq":2,"content":"B"}"#,
    r#"{"ev":"recv","client":"r","room":"x","id":"c","epoch":"e","seq":3,"content":"C"}"#,
    r#"{"ev":"end","client":"r","room":"x","epoch":"e","seq":3}"#,
];

/// The good history, as lines to be changed.
fn good() -> Vec<String> {
    GOOD.map(str::to_owned).into()
}

fn judge(lines: &[String]) -> Vec<Finding> {
    let mut history = History::default();
    for (index, line) in lines.iter().enumerate() {
        history.observe(index + 1, &Event::from_line(line).unwrap());
    }
    history.findings().to_vec()
}

/// One change to the good history, the rule it breaks, the line at which it shows, and words that it is told with.
struct Fault {
    change: fn(&mut Vec<String>),
    rule: Rule,
    line: usize,
    words: &'static str,
}

fn replace(lines: &mut [String], line: usize, this: &str, that: &str) {
    let changed = lines[line - 1].replace(this, that);
    assert_ne!(changed, lines[line - 1], "the change must change something");
    lines[line - 1] = changed;
}

fn insert(lines: &mut Vec<String>, line: usize, text: &str) {
    lines.insert(line - 1, text.to_owned());
}

const FAULTS: &[Fault] = &[
    Fault {
        change: |l| replace(l, 12, r#""id":"b""#, r#""id":"c""#),
        rule: Rule::OneMessage,
        line: 12,
        words: "e.2 is b, and here it is c",
    },
    Fault {
        change: |l| {
            insert(l, 14, r#"{"ev":"join","client":"t","room":"x","epoch":"e","seq":3,"from":1}"#);
            insert(l, 15, r#"{"ev":"recv","client":"t","room":"x","id":"c","epoch":"e","seq":3,"prev":1}"#);
        },
        rule: Rule::OneMessage,
        line: 15,
        words: "e.3 follows 2, and here it follows 1",
    },
    Fault {
        change: |l| replace(l, 9, r#""seq":3"#, r#""seq":4"#),
        rule: Rule::OnePosition,
        line: 13,
        words: "c stands at e.4, and here at e.3",
    },
    Fault {
        change: |l| replace(l, 12, r#""content":"B""#, r#""content":"8""#),
        rule: Rule::Content,
        line: 12,
        words: r#"r got b at e.2 with "8", but it was sent with "B""#,
    },
    Fault {
        change: |l| {
            insert(l, 14, r#"{"ev":"recv","client":"r","room":"x","id":"z","epoch":"e","seq":4}"#);
            replace(l, 15, r#""seq":3"#, r#""seq":4"#);
        },
        rule: Rule::Sent,
        line: 14,
        words: "r got z at e.4, which nobody sent",
    },
    Fault {
        change: |l| replace(l, 8, r#""client":"q""#, r#""client":"p""#),
        rule: Rule::Sent,
        line: 8,
        words: "p got an ack for b, which it never sent",
    },
    Fault {
        change: |l| drop(l.remove(11)),
        rule: Rule::Gap,
        line: 12,
        words: "r got e.3 while it stood at e.1",
    },
    Fault {
        change: |l| insert(l, 13, &l[11].clone()),
        rule: Rule::Twice,
        line: 13,
        words: "r got e.2 a second time",
    },
    Fault { change: |l| l.swap(11, 12), rule: Rule::Order, line: 13, words: "behind it already" },
    Fault {
        change: |l| replace(l, 12, r#""epoch":"e""#, r#""epoch":"f""#),
        rule: Rule::Epoch,
        line: 12,
        words: "r got f.2 while it stood at e.1",
    },
    Fault {
        change: |l| replace(l, 11, r#""from":1"#, r#""from":2"#),
        rule: Rule::Resume,
        line: 11,
        words: "e.1 is honoured, but goes on from e.2",
    },
    Fault {
        change: |l| replace(l, 11, r#""recovered":true"#, r#""recovered":false"#),
        rule: Rule::Resume,
        line: 12,
        words: "before the reset that was due",
    },
    Fault {
        change: |l| {
            let join = r#"{"ev":"join","client":"r","room":"x","epoch":"e","seq":3,"from":3,"since":{"epoch":"e","seq":3}}"#;
            insert(l, 14, join);
        },
        rule: Rule::Resume,
        line: 15,
        words: "r ended before the reset that was due",
    },
    Fault {
        change: |l| replace(l, 1, r#""from":0"#, r#""from":1"#),
        rule: Rule::Resume,
        line: 1,
        words: "r goes on from 1, above the head e.0",
    },
    Fault {
        change: |l| drop(l.remove(12)),
        rule: Rule::Head,
        line: 13,
        words: "ended at e.2, but the head is e.3",
    },
    Fault {
        change: |l| drop(l.remove(12)),
        rule: Rule::Acked,
        line: 13,
        words: "r never got c at 3, which had been acked",
    },
    Fault {
        change: |l| {
            l.remove(11);
            replace(l, 12, r#""seq":3"#, r#""seq":3,"prev":1"#);
        },
        rule: Rule::Acked,
        line: 13,
        words: "never got b at 2",
    },
    Fault {
        change: |l| {
            l[11] = r#"{"ev":"reset","client":"r","room":"x","epoch":"f","seq":0}"#.into();
            l[12] = r#"{"ev":"end","client":"r","room":"x","epoch":"f","seq":0}"#.into();
            l.pop();
        },
        rule: Rule::Durable,
        line: 13,
        words: "c was acked as durable at e.3, but the head is f.0 now",
    },
    Fault {
        change: |l| {
            l.remove(12);
            replace(l, 13, r#""seq":3"#, r#""seq":2"#);
        },
        rule: Rule::Durable,
        line: 13,
        words: "c was acked as durable at e.3, but the head is e.2 now",
    },
    Fault {
        // b is sent only now, after c has been acked at 3.
        change: |l| {
            let publish = l.remove(2);
            let ack = l.remove(6);
            l.splice(7..7, [publish, ack]);
        },
        rule: Rule::RealTime,
        line: 9,
        words: "b stands at e.2, but it was first sent (line 8) after 3 had been acked",
    },
    Fault {
        // p sends c before a.
        change: |l| {
            let publish = l.remove(4);
            l.insert(1, publish);
        },
        rule: Rule::PublisherOrder,
        line: 9,
        words: "p sent c (line 2) before what stands at 1 (line 3), but c stands at e.3",
    },
    Fault {
        change: |l| replace(l, 11, r#""seq":1}"#, r#""seq":0}"#),
        rule: Rule::Record,
        line: 11,
        words: "r asked for e.0, but stood at e.1",
    },
    Fault {
        change: |l| replace(l, 12, r#""client":"r""#, r#""client":"t""#),
        rule: Rule::Record,
        line: 12,
        words: "t got e.2 before any join",
    },
    Fault {
        change: |l| replace(l, 14, r#""client":"r""#, r#""client":"t""#),
        rule: Rule::Record,
        line: 14,
        words: "t ended before any join",
    },
    Fault {
        change: |l| insert(l, 3, r#"{"ev":"pub","client":"q","room":"x","id":"a","content":"A"}"#),
        rule: Rule::Record,
        line: 3,
        words: "an id must name one message",
    },
];

#[test]
fn a_good_history_has_no_finding() {
    assert_eq!(judge(&good()), []);
}

#[test]
fn each_planted_fault_is_found_and_named() {
    for fault in FAULTS {
        let mut lines = good();
        (fault.change)(&mut lines);
        let findings = judge(&lines);
        let named = |finding: &Finding| {
            finding.rule == fault.rule && finding.line == fault.line && finding.message.contains(fault.words)
        };
        assert!(findings.iter().any(named), "no {:?} at line {} in {findings:#?}", fault.rule, fault.line);
        assert!(findings.iter().all(|finding| finding.room == "x"));
    }
}

#[test]
fn every_rule_has_a_planted_fault() {
    let planted: BTreeSet<Rule> = FAULTS.iter().map(|fault| fault.rule).collect();
    assert_eq!(planted, Rule::ALL.into());
}

#[test]
fn a_reset_explains_a_gap() {
    let mut lines = good();
    lines[11] = r#"{"ev":"reset","client":"r","room":"x","epoch":"e","seq":2}"#.into();
    assert_eq!(judge(&lines), []);
}

#[test]
fn where_numbers_have_holes_prev_chains_them() {
    let lines = [
        r#"{"ev":"join","client":"r","room":"x","epoch":"e","seq":7,"from":7}"#,
        r#"{"ev":"pub","client":"p","room":"x","id":"a"}"#,
        r#"{"ev":"recv","client":"r","room":"x","id":"a","epoch":"e","seq":12,"prev":7}"#,
    ];
    assert_eq!(judge(&lines.map(str::to_owned)), []);
}

#[test]
fn what_was_acked_in_memory_may_end_with_its_process() {
    let mut lines = good();
    lines.truncate(9);
    for line in &mut lines {
        *line = line.replace("synced", "memory");
    }
    lines.push(r#"{"ev":"reset","client":"r","room":"x","epoch":"f","seq":0}"#.into());
    lines.push(r#"{"ev":"end","client":"r","room":"x","epoch":"f","seq":0}"#.into());
    assert_eq!(judge(&lines), []);
}

#[test]
fn one_mistake_is_one_finding_for_each_reader() {
    let mut lines = good();
    lines.remove(11);
    let gaps = judge(&lines).iter().filter(|finding| finding.rule == Rule::Gap).count();
    assert_eq!(gaps, 1, "after a gap the reader stands behind it");
}

#[test]
fn a_line_that_is_no_event_says_what_is_wrong() {
    let told = |line| Event::from_line(line).unwrap_err().to_string();
    assert!(told(r#"{"ev":"recieve"}"#).contains("unknown variant `recieve`, expected one of `pub`, `ack`"));
    assert!(told(r#"{"ev":"end","client":"r","room":"x","seq":3}"#).contains("missing field `epoch`"));
    assert!(told(r#"{"ev":"end","client":"r","room":"x","epoch":"e","seq":-3}"#).contains("-3"));
    assert!(told("").contains("EOF"));
}
