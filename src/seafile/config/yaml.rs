//! Reads YAML into a tree of values with line numbers, in bounded time and memory. Compose files
//! use anchors and merge keys (`<<`), so both are followed. An alias shares the value that it
//! names, so aliases cannot make the tree large.

use std::sync::Arc;

use saphyr_parser::{Event, Parser};

/// How deeply lists and mappings may nest.
const MAX_DEPTH: usize = 64;
/// The most values that are read from one file.
const MAX_NODES: usize = 100_000;
/// How many levels of merge keys are followed.
const MAX_MERGES: usize = 8;
/// The most mappings that are searched for one key.
const MAX_VISITS: usize = 1000;

/// One value.
#[derive(Debug, Clone)]
pub struct YamlNode {
    /// Its line, counted from 1.
    pub line: usize,
    /// How many levels are below it, including those that an alias brings in. The height is bounded
    /// because dropping a tree recurses once for each level.
    height: usize,
    kind: YamlContent,
}

#[derive(Debug, Clone)]
enum YamlContent {
    Scalar(String),
    List(Vec<Arc<YamlNode>>),
    Mapping(Vec<(Arc<YamlNode>, Arc<YamlNode>)>),
}

impl YamlNode {
    /// Its text, if it is neither a list nor a mapping. `null` and `~` without quotes are texts
    /// too.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            YamlContent::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// The values of a list. Anything else has none.
    pub fn items(&self) -> &[Arc<YamlNode>] {
        match &self.kind {
            YamlContent::List(items) => items,
            _ => &[],
        }
    }

    /// The value of a key. Mappings that are merged in are searched too.
    pub fn get(&self, key: &str) -> Option<&Arc<YamlNode>> {
        self.get_within(key, MAX_MERGES, &mut { MAX_VISITS })
    }

    fn get_within(&self, key: &str, levels: usize, visits: &mut usize) -> Option<&Arc<YamlNode>> {
        *visits = visits.checked_sub(1)?;
        let YamlContent::Mapping(pairs) = &self.kind else {
            return None;
        };
        let named = |wanted: &str| pairs.iter().rev().find(|(name, _)| name.text() == Some(wanted));
        if let Some((_, value)) = named(key) {
            return Some(value);
        }
        let (_, merged) = named("<<").filter(|_| levels > 0)?;
        let of_list = merged.items().iter().map(Arc::as_ref);
        let mut all = std::iter::once(merged.as_ref()).chain(of_list);
        all.find_map(|node| node.get_within(key, levels - 1, visits))
    }

    /// The keys of a mapping and their values. Mappings that are merged in are left out.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &Arc<YamlNode>)> {
        let pairs: &[(Arc<YamlNode>, Arc<YamlNode>)] = match &self.kind {
            YamlContent::Mapping(pairs) => pairs,
            _ => &[],
        };
        pairs.iter().filter_map(|(key, value)| Some((key.text()?, value)))
    }

    /// The mappings that are merged into this one.
    pub fn merged(&self) -> Vec<Arc<YamlNode>> {
        let Some((_, merged)) = self.pairs().find(|(key, _)| *key == "<<") else {
            return Vec::new();
        };
        match &merged.kind {
            YamlContent::List(items) => items.clone(),
            _ => vec![merged.clone()],
        }
    }
}

/// Reads the first document of a text. The error says where the text stops being YAML.
pub fn parse(text: &str) -> Result<Option<Arc<YamlNode>>, String> {
    let mut builder = YamlBuilder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        builder.take(event, span.start.line())?;
        if builder.root.is_some() {
            break;
        }
    }
    Ok(builder.root)
}

/// A list or mapping that is not closed yet.
struct OpenNode {
    anchor: usize,
    line: usize,
    is_mapping: bool,
    items: Vec<Arc<YamlNode>>,
}

#[derive(Default)]
struct YamlBuilder {
    open: Vec<OpenNode>,
    anchors: Vec<(usize, Arc<YamlNode>)>,
    nodes: usize,
    root: Option<Arc<YamlNode>>,
}

impl YamlBuilder {
    fn take(&mut self, event: Event<'_>, line: usize) -> Result<(), String> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(too_large(line, "too many values"));
        }
        if self.open.len() > MAX_DEPTH {
            return Err(too_large(line, "nested too deeply"));
        }
        match event {
            Event::Scalar(text, _, anchor, _) => {
                self.close(anchor, line, YamlContent::Scalar(text.into_owned()))?;
            }
            Event::Alias(anchor) => {
                // An alias may stand inside the value that it names. That value is not complete
                // yet, so the alias is an empty text.
                let known = self.anchors.iter().rev().find(|(id, _)| *id == anchor);
                let node = known.map(|(_, node)| node.clone());
                let nothing = || YamlNode::new(line, YamlContent::Scalar(String::new()));
                self.add(node.unwrap_or_else(nothing));
            }
            Event::SequenceStart(anchor, _) => self.open(anchor, line, false),
            Event::MappingStart(anchor, _) => self.open(anchor, line, true),
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let kind = if open.is_mapping {
                        YamlContent::Mapping(pairs(open.items))
                    } else {
                        YamlContent::List(open.items)
                    };
                    self.close(open.anchor, open.line, kind)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, line: usize, is_mapping: bool) {
        self.open.push(OpenNode { anchor, line, is_mapping, items: Vec::new() });
    }

    fn close(&mut self, anchor: usize, line: usize, kind: YamlContent) -> Result<(), String> {
        let node = YamlNode::new(line, kind);
        if node.height > MAX_DEPTH {
            return Err(too_large(line, "nested too deeply"));
        }
        if anchor > 0 {
            self.anchors.push((anchor, node.clone()));
        }
        self.add(node);
        Ok(())
    }

    fn add(&mut self, node: Arc<YamlNode>) {
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.root = Some(node),
        }
    }
}

fn too_large(line: usize, what: &str) -> String {
    format!("line {line}: {what}: this is no compose file")
}

impl YamlNode {
    fn new(line: usize, kind: YamlContent) -> Arc<Self> {
        let below = match &kind {
            YamlContent::Scalar(_) => None,
            YamlContent::List(items) => items.iter().map(|item| item.height).max(),
            YamlContent::Mapping(pairs) => {
                pairs.iter().map(|(key, value)| key.height.max(value.height)).max()
            }
        };
        let height = match kind {
            YamlContent::Scalar(_) => 0,
            _ => 1 + below.unwrap_or(0),
        };
        Arc::new(Self { line, height, kind })
    }
}

fn pairs(items: Vec<Arc<YamlNode>>) -> Vec<(Arc<YamlNode>, Arc<YamlNode>)> {
    let mut items = items.into_iter();
    std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn trees_have_lines_and_share_what_is_anchored() {
        let text = "x-env: &env\n  A: 1\n  B: two\nservices:\n  web:\n    list: [a, 'b: c']\n    \
                    environment:\n      <<: *env\n      B: \"own\"\n  other:\n    environment:\n      <<: [*env]\n";
        let root = parse(text).unwrap().unwrap();
        let web = root.get("services").unwrap().get("web").unwrap();
        let environment = web.get("environment").unwrap();
        let read = |key: &str| environment.get(key).and_then(|node| node.text());
        assert_eq!((read("A"), read("B"), read("C")), (Some("1"), Some("own"), None));
        assert_eq!(environment.get("B").unwrap().line, 9);
        assert_eq!(web.get("list").unwrap().items()[1].text(), Some("b: c"));
        let other = root.get("services").unwrap().get("other").unwrap();
        let other = other.get("environment").unwrap();
        assert_eq!(other.get("A").unwrap().text(), Some("1"));
        assert_eq!(other.merged().len(), 1);
        assert_eq!(root.pairs().count(), 2);
    }

    #[test]
    fn what_is_no_yaml_is_told_and_nothing_grows() {
        assert!(parse("a: [b").is_err());
        assert!(parse("").unwrap().is_none());
        assert!(parse(&"[".repeat(10_000)).is_err());
        assert!(parse(&format!("[{}]", "a,".repeat(200_000))).is_err());
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for n in 1..40 {
            let line = format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "));
            bomb.push_str(&line);
        }
        assert!(parse(&bomb).unwrap().unwrap().get("a39").is_some());
        let aliases = format!("[&a x, {}]", "&b [*a], &a [*b], ".repeat(15_000));
        assert!(parse(&aliases).unwrap_err().contains("nested too deeply"));
        let mut merges = String::from("a0: &a0 {x: 1}\n");
        for n in 1..=MAX_MERGES {
            let line =
                format!("a{n}: &a{n} {{<<: [{}]}}\n", vec![format!("*a{}", n - 1); 30].join(", "));
            merges.push_str(&line);
        }
        let merges = parse(&merges).unwrap().unwrap();
        assert!(merges.get(&format!("a{MAX_MERGES}")).unwrap().get("none").is_none());
        let itself = parse("a: &a\n  <<: *a\n  b: 1\n");
        if let Ok(Some(itself)) = itself {
            assert!(itself.get("a").unwrap().get("c").is_none());
        }
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[a-c:\\[\\]{}&*<>|'\"#,\n -]{0,60}") {
            let _ = parse(&text);
        }
    }
}
