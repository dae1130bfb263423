//! What a database has besides tables, before it is replaced: read, dropped, and made again.

use super::LoadError;
use super::error::Result;
use crate::database::mysql::connection::cell_text;
use crate::database::mysql::dump::{self, ProgramGroup};
use crate::database::mysql::schema::{self, MySqlSchema};
use crate::database::mysql::{Error, MySqlConnection, MySqlServer, literal};

/// Servers' error numbers for a view or a trigger that exists already.
const IS_THERE: [u16; 2] = [1050, 1359];

/// A view or a trigger as the server keeps it, with its account.
struct OriginalDefinition {
    /// The statement that sets up the session that it was made in.
    settings: String,
    text: String,
}

impl OriginalDefinition {
    fn trigger(connection: &MySqlConnection, database: &str, name: &str) -> Result<Option<Self>> {
        let (database, name) = (literal::name(database), literal::name(name));
        let mut rows = connection.rows(&format!("SHOW CREATE TRIGGER {database}.{name}"))?;
        Ok(rows.first_mut().map(|row| {
            let mut cell = |column| cell_text(row, column).unwrap_or_default();
            let mode = literal::text(&cell(1));
            Self {
                settings: format!("SET sql_mode = {mode}, {}", session(&cell(3), &cell(4))),
                text: cell(2),
            }
        }))
    }

    fn view(connection: &MySqlConnection, database: &str, name: &str) -> Result<Option<Self>> {
        let (database, name) = (literal::name(database), literal::name(name));
        let mut rows = connection.rows(&format!("SHOW CREATE VIEW {database}.{name}"))?;
        Ok(rows.first_mut().map(|row| {
            let mut cell = |column| cell_text(row, column).unwrap_or_default();
            Self { settings: format!("SET {}", session(&cell(2), &cell(3))), text: cell(1) }
        }))
    }
}

fn session(charset: &str, collation: &str) -> String {
    format!("character_set_client = {charset}, collation_connection = {collation}")
}

/// A database that is to be replaced, without its rows.
pub(super) struct OldDatabase {
    pub(super) database: String,
    pub(super) schema: MySqlSchema,
    pub(super) passive: Vec<u8>,
    pub(super) triggers: Vec<u8>,
    /// Triggers and views with their accounts, to be put back.
    as_made: Vec<OriginalDefinition>,
    /// The statements that drop everything but tables.
    drops: Vec<(ProgramGroup, String)>,
    pub(super) event_names: Vec<String>,
}

impl OldDatabase {
    pub(super) fn read(connection: &MySqlConnection, database: &str) -> Result<Self> {
        let schema = schema::read(connection, database)?;
        let part = |part| {
            dump::part(connection, database, &schema, part).map_err(|source| LoadError::Keep {
                database: database.to_owned(),
                source: Box::new(source),
            })
        };
        let (passive, triggers) = (part(ProgramGroup::Passive)?, part(ProgramGroup::Triggers)?);
        let event_names = schema::events(connection, database)?;
        let mut drops = Vec::new();
        let mut add = |part, kind: &str, name: &str| {
            drops.push((part, drop_of(database, kind, name)));
        };
        for name in &event_names {
            add(ProgramGroup::Events, "EVENT", name);
        }
        let mut rows =
            schema::about(connection, "TRIGGER_NAME", "TRIGGERS", "TRIGGER_SCHEMA", database)?;
        let mut as_made = Vec::new();
        for row in &mut rows {
            let name = cell_text(row, 0).unwrap_or_default();
            as_made.extend(OriginalDefinition::trigger(connection, database, &name)?);
            add(ProgramGroup::Triggers, "TRIGGER", &name);
        }
        for view in &schema.views {
            as_made.extend(OriginalDefinition::view(connection, database, &view.name)?);
            add(ProgramGroup::Passive, "VIEW", &view.name);
        }
        for (kind, name) in schema::routines(connection, database)? {
            add(ProgramGroup::Passive, &kind, &name);
        }
        Ok(Self {
            database: database.to_owned(),
            schema,
            passive,
            triggers,
            as_made,
            drops,
            event_names,
        })
    }

    /// Drops what is in the way of new tables with these names: all triggers, because no table
    /// moves with its triggers, and views that have one of the names.
    pub(super) fn make_way(
        &self,
        connection: &MySqlConnection,
        names: &[&String],
    ) -> std::result::Result<(), Error> {
        let views = self.schema.views.iter().map(|view| &view.name);
        let in_the_way = views.filter(|view| names.contains(view));
        let in_the_way: Vec<String> = in_the_way.map(|view| self.drop_of("VIEW", view)).collect();
        self.drop_those(connection, |part, statement| {
            part == ProgramGroup::Triggers || in_the_way.contains(statement)
        })
    }

    /// Drops all but tables.
    pub(super) fn drop_all(&self, connection: &MySqlConnection) -> std::result::Result<(), Error> {
        self.drop_those(connection, |_, _| true)
    }

    fn drop_those(
        &self,
        connection: &MySqlConnection,
        is_meant: impl Fn(ProgramGroup, &String) -> bool,
    ) -> std::result::Result<(), Error> {
        let drops = self.drops.iter();
        let mut drops = drops.filter(|(part, statement)| is_meant(*part, statement));
        drops.try_for_each(|(_, statement)| connection.run(statement))
    }

    fn drop_of(&self, kind: &str, name: &str) -> String {
        drop_of(&self.database, kind, name)
    }

    /// Makes again what [`Self::make_way`] dropped, as it was.
    pub(super) fn put_back(&self, server: &MySqlServer) -> std::result::Result<(), Error> {
        let connection = MySqlConnection::open(server)?;
        connection.run(&format!("USE {}", literal::name(&self.database)))?;
        for one in &self.as_made {
            let made = connection.run(&one.settings).and_then(|()| connection.run(&one.text));
            match made {
                Err(error) if error.code().is_some_and(|code| IS_THERE.contains(&code)) => {}
                made => made?,
            }
        }
        Ok(())
    }
}

fn drop_of(database: &str, kind: &str, name: &str) -> String {
    let (database, name) = (literal::name(database), literal::name(name));
    format!("DROP {kind} IF EXISTS {database}.{name}")
}
