//! Texts that are the most work for a diff: what they cost is bounded, whatever they read.

use std::time::Instant;

use factoryup::repo::merge::{Conflict, text};

use crate::laws::holds_what_was_added;
use crate::random::Random;

type Three = [Vec<u8>; 3];

/// Lines of a few letters, in random order.
fn noise(random: &mut Random, count: usize, distinct: usize) -> Vec<String> {
    (0..count).map(|_| format!("{}\n", random.below(distinct))).collect()
}

/// The user changes the first half, the templates the second, with a line between that is there once.
fn halves(first: [Vec<String>; 2], second: [Vec<String>; 2]) -> Three {
    let ([a, b], [c, d]) = (first, second);
    let join = |one: &[String], other: &[String]| [one, &["middle\n".to_owned()], other].concat().concat().into_bytes();
    [join(&a, &c), join(&b, &c), join(&a, &d)]
}

fn shuffled(random: &mut Random, mut lines: Vec<String>) -> Vec<String> {
    for at in (1..lines.len()).rev() {
        lines.swap(at, random.below(at + 1));
    }
    lines
}

/// Three texts of about `lines` short lines each, for each shape that is hard on some algorithm.
pub(crate) fn shapes(lines: usize) -> Vec<(&'static str, &'static str, Three)> {
    let mut random = Random::new(7);
    let half = lines / 2;
    let numbers = |from: usize| (from..from + half).map(|n| format!("{n}\n")).collect::<Vec<_>>();
    let mut noise = |distinct| {
        let mut part = || noise(&mut random, half, distinct);
        halves([part(), part()], [part(), part()])
    };
    let (two, few, many) = (noise(2), noise(12), noise(400));
    let mut random = Random::new(8);
    let mut mixed = |from| shuffled(&mut random, numbers(from));
    let moved = halves([numbers(0), mixed(0)], [numbers(half), mixed(half)]);
    let reversed = |from| numbers(from).into_iter().rev().collect::<Vec<_>>();
    let turned = halves([numbers(0), reversed(0)], [numbers(half), reversed(half)]);
    let foreign = halves([numbers(0), numbers(2 * half)], [numbers(half), numbers(3 * half)]);
    let same = |line: &str, count: usize| vec![line.to_owned(); count];
    let runs = halves([same("a\n", half), same("a\n", half / 2)], [same("b\n", half), same("b\n", half / 3)]);
    let every =
        |step: usize| (0..half).map(|n| if n % step == 0 { "x\n" } else { "a\n" }.to_owned()).collect::<Vec<String>>();
    let periods = halves([every(2), every(3)], [every(5), every(7)]);
    let fibonacci = {
        let (mut a, mut b) = (vec!["a\n".to_owned()], vec!["b\n".to_owned()]);
        while a.len() < half {
            (a, b) = ([a.clone(), b].concat(), a);
        }
        a.truncate(half);
        let mut other = a.clone();
        other.rotate_left(half / 3);
        halves([a.clone(), other.clone()], [other, a])
    };
    let twins: Vec<String> = numbers(0).iter().flat_map(|line| [line.clone(), line.clone()]).take(half).collect();
    let mut turned_twins = twins.clone();
    turned_twins.rotate_left(half / 2);
    let twins = halves([twins.clone(), turned_twins.clone()], [turned_twins, twins]);
    let values = |three: &Three| {
        three.clone().map(|text| {
            let values = String::from_utf8(text).unwrap().replace("middle", "-1");
            values.lines().collect::<Vec<_>>().join(",")
        })
    };
    // Each side changes another value of a list between whose ends all is the same, in one line or in many.
    let around = |begin: &str, middle: &str, end: &str| {
        let text = |first: &str, last: &str| format!("{begin}{first},\n{middle}\n{last}\n{end}").into_bytes();
        [text("1", "1"), text("2", "1"), text("1", "2")]
    };
    let deep = |separator: &str| {
        around(&"[\n".repeat(30), &format!("0,{separator}").repeat(lines.saturating_sub(80)), &"]\n".repeat(30))
    };
    let apart = |three: &Three| {
        let [base, current, new] = values(three);
        let text = |a: &str, b: &str| format!("{{\n\"a\": [{a}],\n\"b\": 1,\n\"c\": 1,\n\"d\": [{b}]\n}}\n");
        [text(&base, &base), text(&current, &base), text(&base, &new)].map(String::into_bytes)
    };
    let table = {
        let [base, current, new] = values(&moved);
        let text = |a: &str, b: &str| format!("a = [{a}]\nb = 1\nc = 1\nd = [{b}]\n").into_bytes();
        [text(&base, &base), text(&current, &base), text(&base, &new)]
    };
    let uses = |one: &str| format!("{one},").repeat(lines.saturating_sub(8));
    vec![
        ("two lines", "a", two.clone()),
        ("a dozen lines", "a", few),
        ("hundreds of lines", "a", many),
        ("moved", "a", moved.clone()),
        ("reversed", "a", turned),
        ("nothing in common", "a", foreign),
        ("one line", "a", runs),
        ("periods", "a", periods),
        ("Fibonacci", "a", fibonacci),
        ("twins", "a", twins),
        ("lists of two values", "a.json", apart(&two)),
        ("lists of moved values", "a.json", apart(&moved)),
        ("lists of moved values", "a.yml", apart(&moved)),
        ("lists of moved values", "a.toml", table),
        ("aliases", "a.yml", around("- &x 1\n- [", &uses("*x\n"), "]\n")),
        ("aliases in one line", "a.yml", around("- &x 1\n- [", &uses("*x"), "]\n")),
        ("flow maps in one line", "a.yml", around("[", &uses("a: 1"), "]\n")),
        ("a deep list", "a.json", deep("\n")),
        ("a deep list", "a.yml", deep("\n")),
        ("a deep list in one line", "a.json", deep("")),
        ("a deep list in one line", "a.yml", deep("")),
    ]
}

/// What each shape costs at `lines` lines.
pub(crate) fn measure(lines: usize) {
    for (name, path, [base, current, new]) in shapes(lines) {
        let begun = Instant::now();
        let merged = text(path, &base, &current, &new);
        let took = begun.elapsed();
        let ended = merged.map_or_else(|why| format!("{why:?}"), |text| format!("{} bytes", text.len()));
        println!(
            "{lines:>7} lines, {:>7} bytes, {path:<7} {name:<24} {:>6} ms  {ended}",
            current.len(),
            took.as_millis()
        );
    }
}

/// What is too long for a diff is the user's to merge; what is not is merged as ever.
pub(crate) fn bounded() {
    for (name, path, [base, current, new]) in shapes(9_000) {
        let lines = current.split(|byte| *byte == b'\n').count() - 1;
        if lines > 4_000 || current.len() > 128 * 1024 {
            assert_eq!(text(path, &base, &current, &new), Err(Conflict::TooLong), "{path} {name}");
        }
    }
    for (name, path, [base, current, new]) in shapes(600) {
        let Ok(merged) = text(path, &base, &current, &new) else { continue };
        assert!(holds_what_was_added(&base, &current, &merged), "{path} {name}");
        assert!(holds_what_was_added(&base, &new, &merged), "{path} {name}");
        assert_eq!(text(path, &new, &merged, &new).unwrap(), merged, "{path} {name}");
    }
    // Of each limit, one that is just within it, and one that is just beyond.
    let three = |filler: &str, count: usize| {
        let text = |first: &str, last: &str| format!("{first}\n{}{last}\n", filler.repeat(count)).into_bytes();
        [text("a", "z"), text("b", "z"), text("a", "y")]
    };
    let long = format!("{}\n", "x".repeat(1023));
    for (filler, within) in [("x\n", 3_998), (long.as_str(), 127)] {
        for (count, is_merged) in [(within, true), (within + 1, false)] {
            let [base, current, new] = three(filler, count);
            let merged = text("a", &base, &current, &new);
            assert_eq!(merged.as_ref().err(), (!is_merged).then_some(&Conflict::TooLong), "{count} of {filler}");
            assert!(merged.is_err() || merged.unwrap().starts_with(b"b\n") && is_merged);
        }
    }
    // Elements of a list and levels of a tree, which need no line each.
    for (count, depth, is_merged) in [(3_998, 1, true), (4_001, 1, false), (1, 31, true), (1, 33, false)] {
        let value = |first: &str, last: &str| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            format!("{open}\n{first},\n{}\n{last}\n{close}\n", "0,".repeat(count)).into_bytes()
        };
        let [base, current, new] = [value("1", "1"), value("2", "1"), value("1", "2")];
        for path in ["a.json", "a.yml"] {
            let merged = text(path, &base, &current, &new);
            let wanted = if is_merged { Ok(value("2", "2")) } else { Err(Conflict::Structure) };
            assert_eq!(merged, wanted, "{path}: {count} elements, {depth} levels");
        }
    }
}
