//! What a compose file says about Seafile's container: its image, its mounts and its variables.
//! References such as `${NAME}` stay as they are; [`template`](super::template) replaces them.

use std::sync::Arc;

use super::yaml::{self, YamlNode};

/// The most containers, variables, files and mounts that are read from one compose file.
const MAX_VALUES: usize = 50_000;

/// A text and the line on which it stands, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComposeText {
    /// The text. Its `${…}` are not replaced.
    pub text: String,
    /// The line.
    pub line: usize,
}

/// A folder of the host or a volume, and where a container sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ComposeMount {
    /// `source:target` or `source:target:ro`. A `${…}` in it may hold colons.
    Short(ComposeText),
    /// `source` and `target`.
    Long(ComposeText, ComposeText),
}

/// A container.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ComposeService {
    /// Its name.
    pub name: String,
    /// The image.
    pub image: Option<ComposeText>,
    /// Its variables. One without a value gets its value from outside.
    pub environment: Vec<(String, Option<ComposeText>)>,
    /// Files with further variables.
    pub env_files: Vec<ComposeText>,
    /// Its mounts.
    pub mounts: Vec<ComposeMount>,
}

/// Shows only the names of the variables: values may be passwords.
impl std::fmt::Debug for ComposeService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("image", &self.image)
            .field("environment", &names)
            .field("mounts", &self.mounts)
            .finish_non_exhaustive()
    }
}

/// The containers of a compose file. A text that is no compose file has none. The error says where
/// the text stops being YAML.
pub fn services(text: &str) -> Result<Vec<ComposeService>, String> {
    let Some(root) = yaml::parse(super::without_byte_order_mark(text))? else {
        return Ok(Vec::new());
    };
    let Some(services) = root.get("services") else {
        return Ok(Vec::new());
    };
    let volumes = root.get("volumes");
    let mut all: Vec<ComposeService> = Vec::new();
    let mut values = 0;
    for (name, node) in services.pairs() {
        let service = service(name, node, volumes);
        values += 1 + service.environment.len() + service.env_files.len() + service.mounts.len();
        // YAML aliases can repeat one part of the file in many services, and each service gets its
        // own copy.
        if values > MAX_VALUES {
            return Err("too many values: this is no compose file".to_owned());
        }
        all.push(service);
    }
    Ok(all)
}

fn service(name: &str, node: &YamlNode, volumes: Option<&Arc<YamlNode>>) -> ComposeService {
    let mounts = node.get("volumes").map(|list| list.items());
    let mount = |node: &Arc<YamlNode>| mount(node, volumes);
    ComposeService {
        name: name.to_owned(),
        image: node.get("image").and_then(text_of),
        environment: node.get("environment").map(environment).unwrap_or_default(),
        env_files: node.get("env_file").map(env_files).unwrap_or_default(),
        mounts: mounts.unwrap_or_default().iter().filter_map(mount).collect(),
    }
}

fn text_of(node: &Arc<YamlNode>) -> Option<ComposeText> {
    let text = node.text()?.to_owned();
    let line = node.line;
    Some(ComposeText { text, line })
}

/// Reads a mapping, or a list of `NAME=value`.
fn environment(node: &Arc<YamlNode>) -> Vec<(String, Option<ComposeText>)> {
    let mut all: Vec<(String, Option<ComposeText>)> = Vec::new();
    for merged in node.merged() {
        all.extend(merged.pairs().filter_map(variable).take(MAX_VALUES.saturating_sub(all.len())));
    }
    all.extend(node.pairs().filter(|(name, _)| *name != "<<").filter_map(variable));
    for item in node.items() {
        let Some(text) = item.text() else { continue };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let line = item.line;
        let value = value.map(|value| ComposeText { text: value.to_owned(), line });
        all.push((name.trim().to_owned(), value));
    }
    all
}

fn variable((name, node): (&str, &Arc<YamlNode>)) -> Option<(String, Option<ComposeText>)> {
    let value = text_of(node)?;
    // `NAME:` without a value gets its value from outside.
    let is_null = value.text.is_empty() || value.text == "~" || value.text == "null";
    Some((name.to_owned(), (!is_null).then_some(value)))
}

/// Reads a path, a list of paths, or a list of mappings with `path`.
fn env_files(node: &Arc<YamlNode>) -> Vec<ComposeText> {
    let of_item = |item: &Arc<YamlNode>| item.get("path").map_or_else(|| text_of(item), text_of);
    let own = text_of(node).into_iter();
    own.chain(node.items().iter().filter_map(of_item)).collect()
}

/// Reads a mount. If a named volume is bound to a folder, that folder is the source.
fn mount(node: &Arc<YamlNode>, volumes: Option<&Arc<YamlNode>>) -> Option<ComposeMount> {
    let device = |name: &str| {
        let options = volumes?.get(name)?.get("driver_opts")?;
        options.get("device").and_then(text_of)
    };
    if let Some(short) = text_of(node) {
        let bound =
            short.text.split_once(':').and_then(|(name, target)| Some((device(name)?, target)));
        return Some(match bound {
            Some((device, target)) => {
                let target = target.split(':').next().unwrap_or_default().to_owned();
                let line = short.line;
                ComposeMount::Long(device, ComposeText { text: target, line })
            }
            None => ComposeMount::Short(short),
        });
    }
    let source = text_of(node.get("source")?)?;
    let source = device(&source.text).unwrap_or(source);
    Some(ComposeMount::Long(source, text_of(node.get("target")?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &str = "x-db: &db\n  SEAFILE_MYSQL_DB_HOST: db\n  PASSWORD: hunter2\nservices:\n  db:\n    image: mariadb:10.11\n  seafile:\n    \
        image: ${SEAFILE_IMAGE:-seafileltd/seafile-mc:13.0-latest}\n    env_file: [common.env, {path: ./more.env, required: false}]\n    \
        volumes:\n      - ${SEAFILE_VOLUME:-/opt/seafile-data}:/shared\n      - {type: bind, source: ./a, target: /b}\n      - data:/c:ro\n    \
        environment:\n      <<: *db\n      A: ${A:-x}\n      FROM_OUTSIDE:\n  list:\n    env_file: one.env\n    environment:\n      - B=x=y\n      - C\n\
        volumes:\n  data:\n    driver_opts: {type: none, o: bind, device: /mnt/data}\n";

    fn text(text: &str, line: usize) -> ComposeText {
        let text = text.to_owned();
        ComposeText { text, line }
    }

    #[test]
    fn a_service_is_read_with_its_lines() {
        let services = services(FILE).unwrap();
        let [db, seafile, list] = &services[..] else { panic!("{services:?}") };
        assert_eq!((db.name.as_str(), db.mounts.len()), ("db", 0));
        let image = "${SEAFILE_IMAGE:-seafileltd/seafile-mc:13.0-latest}";
        assert_eq!(seafile.image, Some(text(image, 8)));
        assert_eq!(seafile.env_files, [text("common.env", 9), text("./more.env", 9)]);
        assert_eq!(
            seafile.mounts,
            [
                ComposeMount::Short(text("${SEAFILE_VOLUME:-/opt/seafile-data}:/shared", 11)),
                ComposeMount::Long(text("./a", 12), text("/b", 12)),
                ComposeMount::Long(text("/mnt/data", 25), text("/c", 13)),
            ]
        );
        assert_eq!(
            seafile.environment,
            [
                ("SEAFILE_MYSQL_DB_HOST".into(), Some(text("db", 2))),
                ("PASSWORD".into(), Some(text("hunter2", 3))),
                ("A".into(), Some(text("${A:-x}", 16))),
                ("FROM_OUTSIDE".into(), None),
            ]
        );
        assert_eq!(list.env_files, [text("one.env", 19)]);
        let expected = [("B".into(), Some(text("x=y", 21))), ("C".into(), None)];
        assert_eq!(list.environment, expected);
        assert!(!format!("{services:?}").contains("hunter2"));
    }

    #[test]
    fn other_files_have_no_services() {
        for other in ["", "a: b", "[1, 2]", "services: [a]", "services:\n  a: 5", "just text"] {
            let found = services(other).unwrap();
            assert!(found.iter().all(|service| service.environment.is_empty()));
        }
        assert!(services("services: {").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text in "(services|volumes|environment|image|:|\n|  |- |a|\\{|\\}|\\[|\\]|&a|\\*a|<<){0,40}") {
            let _ = services(&text);
        }
    }
}
