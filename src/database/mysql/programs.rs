//! Writes into a dump what a database has besides tables: views, routines, triggers, events.

use super::connection::cell_text;
use super::definition;
use super::dump::{DumpError, DumpWriter};
use super::error::{Error, MySqlErrorKind};
use super::literal;
use super::schema::{self, MySqlSchema, MySqlView, SqlProgram};

impl DumpWriter<'_> {
    /// The server's answer to SHOW CREATE. If it has nothing in `column`, the account may not see
    /// the definition, which is an error.
    pub(super) fn shown<const COLUMNS: usize>(
        &self,
        what: &str,
        name: &str,
        column: usize,
    ) -> Result<[Option<String>; COLUMNS], Error> {
        let statement = format!("SHOW CREATE {what} {}", literal::name(name));
        let mut rows = self.connection.rows(&statement)?;
        let cells: [Option<String>; COLUMNS] =
            std::array::from_fn(|at| rows.first_mut().and_then(|row| cell_text(row, at)));
        if cells[column].is_some() {
            return Ok(cells);
        }
        let text = format!(
            "the account may not see how the {} {}.{name} is made",
            what.to_lowercase(),
            self.database
        );
        let grant = format!(
            "GRANT SELECT ON mysql.proc TO {user} (MariaDB), or GRANT SHOW_ROUTINE ON *.* TO {user} (MySQL)",
            user = self.connection.server().user
        );
        Err(Error::new(self.connection.server(), MySqlErrorKind::Denied(grant), text))
    }

    /// Views may use each other. So a placeholder with the same columns stands for each view until
    /// all are there.
    pub(super) fn placeholders(&mut self, schema: &MySqlSchema) -> Result<(), DumpError> {
        for view in &schema.views {
            if view.columns.is_empty() {
                self.totals.notes.push(format!(
                    "{}.{}: the view leads to something that is not there, and is left out",
                    self.database, view.name
                ));
                continue;
            }
            let columns = view.columns.iter();
            let columns: Vec<String> =
                columns.map(|column| format!("1 AS {}", literal::name(column))).collect();
            self.statement(&format!(
                "CREATE VIEW {} AS SELECT {}",
                literal::name(&view.name),
                columns.join(", ")
            ))?;
        }
        Ok(())
    }

    /// Writes each view after the views that it uses. A view with a check option needs to know what
    /// it checks.
    pub(super) fn views(&mut self, schema: &MySqlSchema) -> Result<(), DumpError> {
        let mut left = Vec::new();
        for view in schema.views.iter().filter(|view| !view.columns.is_empty()) {
            let [_, create] = self.shown("VIEW", &view.name, 1)?;
            let create = create.unwrap_or_default();
            let create = definition::without_database_of_columns(&create, self.database);
            left.push((view, create));
        }
        let uses = |text: &str, view: &MySqlView| text.contains(&literal::name(&view.name));
        while !left.is_empty() {
            let needs_none = |at: usize| {
                let mut others = left.iter().enumerate();
                let (_, text) = &left[at];
                !others.any(|(other, (view, _))| other != at && uses(text, view))
            };
            // A column can have a view's name. Two such columns make a cycle, and then the first
            // view is taken.
            let next = (0..left.len()).find(|&at| needs_none(at)).unwrap_or(0);
            let (view, create) = left.remove(next);
            if create.contains(&format!("{}.", literal::name(self.database))) {
                self.totals.notes.push(format!(
                    "{}.{}: the view names its database: loaded under another name, it still reads from {0}",
                    self.database, view.name
                ));
            }
            let create = definition::replacing(&definition::without_definer(&create));
            self.statement(&create)?;
        }
        Ok(())
    }

    pub(super) fn routines(&mut self, schema: &MySqlSchema) -> Result<(), DumpError> {
        for (kind, name) in schema::routines(self.connection, self.database)? {
            let [_, sql_mode, create, _, collation, of_database] = self.shown(&kind, &name, 2)?;
            self.program(
                schema,
                &SqlProgram {
                    create: definition::without_definer(&create.unwrap_or_default()),
                    sql_mode: sql_mode.unwrap_or_default(),
                    time_zone: None,
                    collation: collation.unwrap_or_default(),
                    database_collation: of_database.unwrap_or_default(),
                },
            )?;
        }
        Ok(())
    }

    pub(super) fn triggers(&mut self, schema: &MySqlSchema) -> Result<(), DumpError> {
        for trigger in schema::triggers(self.connection, self.database, &schema.unreadable)? {
            self.program(schema, &trigger)?;
        }
        Ok(())
    }

    pub(super) fn events(&mut self, schema: &MySqlSchema) -> Result<(), DumpError> {
        for name in schema::events(self.connection, self.database)? {
            let [_, sql_mode, time_zone, create, _, collation, of_database] =
                self.shown("EVENT", &name, 3)?;
            self.program(
                schema,
                &SqlProgram {
                    create: definition::without_definer(&create.unwrap_or_default()),
                    sql_mode: sql_mode.unwrap_or_default(),
                    time_zone,
                    collation: collation.unwrap_or_default(),
                    database_collation: of_database.unwrap_or_default(),
                },
            )?;
        }
        Ok(())
    }

    /// Writes a routine, trigger or event, with the session settings and the database collation
    /// that it was made with. Its text is UTF-8 like all of the dump.
    fn program(&mut self, schema: &MySqlSchema, program: &SqlProgram) -> Result<(), DumpError> {
        let delimiter = definition::delimiter(&program.create);
        let mut settings = format!("sql_mode = {}", literal::text(&program.sql_mode));
        if !program.collation.is_empty() {
            settings.push_str(", collation_connection = ");
            settings.push_str(&literal::text(&program.collation));
        }
        if let Some(zone) = &program.time_zone {
            settings.push_str(", time_zone = ");
            settings.push_str(&literal::text(zone));
        }
        let other = &program.database_collation;
        let is_other = !other.is_empty() && *other != schema.collation;
        if is_other {
            self.statement(&format!("ALTER DATABASE COLLATE {other}"))?;
        }
        write!(
            self.out,
            "\nSET {settings};\nDELIMITER {delimiter}\n{}{delimiter}\nDELIMITER ;\n\
             SET NAMES utf8mb4;\nSET sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00';\n",
            program.create
        )?;
        if is_other {
            self.statement(&format!("ALTER DATABASE COLLATE {}", schema.collation))?;
        }
        Ok(())
    }
}
