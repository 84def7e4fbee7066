//! Circles in the dependencies between sibling modules.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    path::{Path, PathBuf},
};

use super::tree::{ModulePath, Tree};

/// Modules that all depend on each other, directly or through others of the circle.
#[derive(Debug)]
pub(super) struct Circle {
    pub modules: Vec<String>,
    /// Shortest circular path.
    way: Vec<Edge>,
    /// Other dependencies inside the circle.
    others: Vec<Edge>,
}

/// First place where a module depends on its sibling.
#[derive(Debug, Clone)]
struct Edge {
    from: String,
    to: String,
    file: PathBuf,
    line: usize,
}

/// Dependencies between the children of one module.
type Level = BTreeMap<String, BTreeMap<String, Edge>>;

/// Finds the circles at every level of a crate.
pub(super) fn find(tree: &Tree) -> Vec<Circle> {
    levels(tree).values().flat_map(circles_of).collect()
}

fn levels(tree: &Tree) -> BTreeMap<ModulePath, Level> {
    let mut levels: BTreeMap<ModulePath, Level> = BTreeMap::new();
    for (from, module) in &tree.modules {
        for (to, line) in tree.dependencies(from) {
            let shared = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
            // A module that depends on its own ancestor or descendant is not a sibling.
            if shared == from.len() || shared == to.len() {
                continue;
            }
            let name = |path: &[String]| path[..=shared].join("::");
            let edge = Edge { from: name(from), to: name(&to), file: module.file.clone(), line };
            let level = levels.entry(from[..shared].to_vec()).or_default();
            level.entry(edge.from.clone()).or_default().entry(edge.to.clone()).or_insert(edge);
        }
    }
    levels
}

fn circles_of(level: &Level) -> Vec<Circle> {
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        level.keys().map(|from| (from.as_str(), reachable(level, from))).collect();
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for (from, reached) in &reach {
        if !reached.contains(from) || seen.contains(from) {
            continue;
        }
        let modules: BTreeSet<&str> = reached
            .iter()
            .copied()
            .filter(|to| reach.get(to).is_some_and(|back| back.contains(from)))
            .collect();
        seen.extend(modules.iter().copied());
        circles.push(circle(level, &modules));
    }
    circles
}

fn reachable<'level>(level: &'level Level, from: &str) -> BTreeSet<&'level str> {
    let mut reached = BTreeSet::new();
    let mut queue: VecDeque<&str> = VecDeque::from([from]);
    while let Some(next) = queue.pop_front() {
        for to in level.get(next).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(to.as_str()) {
                queue.push_back(to);
            }
        }
    }
    reached
}

fn circle(level: &Level, modules: &BTreeSet<&str>) -> Circle {
    let way =
        modules.iter().filter_map(|from| way_around(level, from)).min_by_key(Vec::len).unwrap_or_default();
    let is_on_the_way = |edge: &Edge| way.iter().any(|other| other.from == edge.from && other.to == edge.to);
    let others = modules
        .iter()
        .flat_map(|from| level.get(*from).into_iter().flat_map(BTreeMap::values))
        .filter(|edge| modules.contains(edge.to.as_str()) && !is_on_the_way(edge))
        .cloned()
        .collect();
    Circle { modules: modules.iter().map(|module| (*module).to_owned()).collect(), way, others }
}

/// Finds the shortest path from a module back to itself.
fn way_around(level: &Level, start: &str) -> Option<Vec<Edge>> {
    let mut before: BTreeMap<&str, &Edge> = BTreeMap::new();
    let mut queue: VecDeque<&str> = VecDeque::from([start]);
    while let Some(next) = queue.pop_front() {
        for (to, edge) in level.get(next).into_iter().flatten() {
            if before.contains_key(to.as_str()) {
                continue;
            }
            before.insert(to, edge);
            if to == start {
                return Some(back(&before, start));
            }
            queue.push_back(to);
        }
    }
    None
}

fn back(before: &BTreeMap<&str, &Edge>, start: &str) -> Vec<Edge> {
    let mut way = Vec::new();
    let mut at = start;
    while let Some(edge) = before.get(at) {
        way.insert(0, (*edge).clone());
        at = &edge.from;
        if at == start {
            break;
        }
    }
    way
}

impl Circle {
    /// Shortens the files of all edges for messages.
    pub(super) fn make_relative_to(&mut self, directory: &Path) {
        for edge in self.way.iter_mut().chain(&mut self.others) {
            if let Ok(file) = edge.file.strip_prefix(directory) {
                edge.file = file.to_path_buf();
            }
        }
    }
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for edge in &self.way {
            write!(f, "{} -> ", edge.from)?;
        }
        f.write_str(self.way.first().map_or("", |edge| &edge.from))?;
        for edge in &self.way {
            write!(f, "\n    {edge}")?;
        }
        for edge in &self.others {
            write!(f, "\n    also {edge}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} at {}:{}", self.from, self.to, self.file.display(), self.line)
    }
}
