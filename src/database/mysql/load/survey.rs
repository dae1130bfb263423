//! What a dump asks of a server. It is found by reading the dump before any of it is loaded. A load
//! that breaks off late, for a reason that was there from the beginning, costs a night.

use std::collections::BTreeSet;
use std::io::Read;

use super::error::{LoadError, Result};
use super::{
    Collations, DumpReader, LoadProgress, PACKET_EXTRA, StatementKind, collations, table_of,
};
use crate::database::mysql::schema::NameCase;
use crate::database::mysql::{
    Error, MySqlConnection, MySqlServer, MySqlVendor, dump, literal, privileges,
};

/// The privileges that every load needs. It makes, reads and drops the mark of an unfinished load.
const ALWAYS: [&str; 5] = ["SELECT", "INSERT", "CREATE", "ALTER", "DROP"];
const NEWER: &str = "load it into a MariaDB of the version that it was dumped from, or a newer one";
/// How much of a statement is read to find what it makes.
const HEAD_BYTES: usize = 512;

/// What a dump asks of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DumpNeeds {
    /// Bytes of its statements.
    pub bytes: u64,
    packet: usize,
    packet_table: String,
    makes: BTreeSet<&'static str>,
    has_references: bool,
    /// Whether it has a function that says neither that it is deterministic nor that it changes
    /// nothing.
    has_free_function: bool,
    has_versions: bool,
    collations: BTreeSet<String>,
    head: dump::DumpHead,
}

impl DumpNeeds {
    /// Reads a dump to its end.
    ///
    /// # Errors
    ///
    /// Fails if the dump is not whole.
    pub fn read(dump: &mut dyn Read) -> Result<Self> {
        let mut dump = DumpReader::begin(dump)?;
        let mut needs = Self { head: dump.head.clone(), ..Self::default() };
        let (mut at, mut table) = (LoadProgress::default(), String::new());
        while let Some(statement) = dump.statements.next()? {
            let sort = StatementKind::of(statement.text);
            if sort == StatementKind::Table {
                table = table_of(statement.text);
                at.table.clone_from(&table);
                at.tables += 1;
            }
            if statement.text.len() > needs.packet {
                needs.packet = statement.text.len();
                needs.packet_table.clone_from(&table);
            }
            needs.bytes += statement.text.len() as u64;
            if sort != StatementKind::Rows {
                needs.definition(&statement);
            }
        }
        if dump.counts().is_none() {
            return Err(LoadError::Incomplete { at });
        }
        let default = needs.head.defaults.as_ref();
        let default = default.map(|(_, collation)| collation.clone());
        needs.collations.extend(default);
        Ok(needs)
    }

    fn definition(&mut self, statement: &super::Statement<'_>) {
        const KINDS: [&str; 7] =
            ["TABLE", "VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "SEQUENCE"];
        let text = statement.text;
        let head = String::from_utf8_lossy(&text[..text.len().min(HEAD_BYTES)]);
        let mut words = head.split_whitespace().map(str::to_ascii_uppercase);
        if words.next().as_deref() == Some("CREATE") {
            let kind = words.find_map(|word| KINDS.into_iter().find(|kind| *kind == word));
            self.makes.extend(kind);
            let has = |what| collations::has_words(text, statement.escapes, what);
            if kind == Some("FUNCTION") {
                let is_deterministic = has(&["DETERMINISTIC"]) && !has(&["NOT", "DETERMINISTIC"]);
                let only_reads = has(&["NO", "SQL"]) || has(&["READS", "SQL", "DATA"]);
                self.has_free_function |= !is_deterministic && !only_reads;
            }
            if kind == Some("TABLE") {
                self.has_references |= has(&["REFERENCES"]);
                self.has_versions |= has(&["SYSTEM", "VERSIONING"]);
            }
        }
        self.collations.extend(collations::named(text, statement.escapes));
    }

    /// The privileges on its database that a load needs.
    fn privileges(&self, vendor: MySqlVendor) -> Vec<&'static str> {
        let mut needed = ALWAYS.to_vec();
        let makes = |kind| self.makes.contains(kind);
        if makes("VIEW") {
            needed.push("CREATE VIEW");
        }
        if makes("TRIGGER") {
            needed.push("TRIGGER");
        }
        if makes("PROCEDURE") || makes("FUNCTION") {
            needed.push("CREATE ROUTINE");
        }
        if makes("EVENT") {
            needed.push("EVENT");
        }
        if self.has_references && vendor == MySqlVendor::MySql {
            needed.push("REFERENCES");
        }
        needed
    }
}

/// A database that is to be loaded.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseToLoad<'a> {
    /// Its name on the server.
    pub name: &'a str,
    /// What its dump asks for. `None` means that the dump is lost and nothing is loaded.
    pub needs: Option<&'a DumpNeeds>,
    /// Whether something is there and will be replaced.
    pub is_replaced: bool,
}

/// Fails if a load could not come to its end on this server, for this account. Changes nothing.
pub fn must_take(server: &MySqlServer, wanted: &[DatabaseToLoad<'_>]) -> Result<()> {
    let connection = MySqlConnection::open(server)?;
    let mut privileges: Vec<(String, Vec<&'static str>)> = Vec::new();
    for one in wanted {
        let Some(needs) = one.needs else {
            continue;
        };
        let needed = needs.privileges(connection.vendor());
        if one.is_replaced {
            // The old database is read first, and its programs are dropped. Both databases beside
            // it are made and filled.
            let mut of_old = needed.clone();
            of_old.extend(["SHOW VIEW", "TRIGGER", "EVENT", "LOCK TABLES", "ALTER ROUTINE"]);
            let beside = super::replace::names_beside(one.name);
            privileges.extend(beside.map(|name| (name, needed.clone())));
            privileges.push((one.name.to_owned(), of_old));
        } else {
            privileges.push((one.name.to_owned(), needed));
        }
    }
    privileges::must_have(&connection, &privileges)?;
    let mut collations = Collations::of(&connection)?;
    let packet = packet(&connection)?;
    for one in wanted {
        if let Some(needs) = one.needs {
            needs.must_fit(&connection, one.name, packet, &mut collations)?;
        }
    }
    must_trust_programs(&connection, wanted)
}

/// The longest statement that a server takes.
pub(super) fn packet(connection: &MySqlConnection) -> std::result::Result<usize, Error> {
    let packet = connection.text("SELECT @@max_allowed_packet")?;
    Ok(packet.and_then(|text| text.parse().ok()).unwrap_or(1 << 20))
}

impl DumpNeeds {
    fn must_fit(
        &self,
        connection: &MySqlConnection,
        name: &str,
        packet: usize,
        collations: &mut Collations,
    ) -> Result<()> {
        let server = connection.server().to_string();
        if self.head.lowers_names && NameCase::of(connection)? == NameCase::Differs {
            return Err(LoadError::LowerCase { server, database: name.to_owned() });
        }
        let needed = self.packet + PACKET_EXTRA;
        if needed > packet {
            return Err(LoadError::Packet {
                server,
                table: self.packet_table.clone(),
                needed,
                allowed: packet,
            });
        }
        let unfit = |what: String, hint: &'static str| LoadError::Unfit {
            server: server.clone(),
            database: name.to_owned(),
            what,
            hint,
        };
        let unknown = self.collations.iter().find(|one| collations.is_unknown(one));
        if let Some(collation) = unknown {
            return Err(unfit(
                format!("this server has neither the collation {collation} nor one like it"),
                "load it into a server of the version that it was dumped from, or a newer one",
            ));
        }
        if self.makes.contains("SEQUENCE") && !is_mariadb_10_3(connection)? {
            return Err(unfit("it has sequences, which this server has not".into(), NEWER));
        }
        if self.has_versions && !is_mariadb_10_3(connection)? {
            return Err(unfit(
                "it has system-versioned tables, which this server has not".into(),
                NEWER,
            ));
        }
        Ok(())
    }
}

/// Sequences and system-versioned tables came to `MariaDB` with the same version. `MySQL` has
/// neither.
fn is_mariadb_10_3(connection: &MySqlConnection) -> std::result::Result<bool, Error> {
    if connection.vendor() != MySqlVendor::MariaDb {
        return Ok(false);
    }
    let variable = connection.rows("SHOW VARIABLES LIKE 'system_versioning_alter_history'")?;
    Ok(!variable.is_empty())
}

/// Fails if the server would refuse functions or triggers. With a binary log, servers take them
/// only from accounts with SUPER. Even from these they take no function that may give another
/// result on a replica. Both rules end if a server was told to trust.
fn must_trust_programs(connection: &MySqlConnection, wanted: &[DatabaseToLoad<'_>]) -> Result<()> {
    let needs = wanted.iter().filter_map(|one| one.needs);
    let makes = |kind| needs.clone().any(|needs| needs.makes.contains(kind));
    if !makes("FUNCTION") && !makes("TRIGGER") {
        return Ok(());
    }
    let on = |variable: &str| -> std::result::Result<bool, Error> {
        let value = connection.text(&format!("SELECT @@{variable}"))?;
        Ok(value.as_deref() == Some("1"))
    };
    if !on("log_bin")? || on("log_bin_trust_function_creators")? {
        return Ok(());
    }
    let what = if !privileges::is_super(connection)? {
        "the dumps have functions or triggers, and this server keeps a binary log: it refuses them from an account without SUPER"
    } else if needs.clone().any(|needs| needs.has_free_function) {
        "the dumps have functions that do not say that they are deterministic, and this server keeps a binary log: it refuses them"
    } else {
        return Ok(());
    };
    Err(LoadError::Unfit {
        server: connection.server().to_string(),
        database: String::new(),
        what: what.to_owned(),
        hint: "let an administrator run: SET GLOBAL log_bin_trust_function_creators = 1",
    })
}

/// The table that stands in a database while it is loaded, and says whose dump it is.
pub(super) const MARK: &str = "seawall_unfinished_import";

/// Marks a database as being loaded from this dump.
pub(super) fn mark(connection: &MySqlConnection, database: &str, dump: &str) -> Result<()> {
    let table = format!("{}.{}", literal::name(database), literal::name(MARK));
    connection.run(&format!("CREATE TABLE {table} (dump VARCHAR(255) NOT NULL)"))?;
    connection.run(&format!("INSERT INTO {table} VALUES ({})", literal::text(dump)))?;
    Ok(())
}

/// Which dump a database is being loaded from, if it was not finished.
pub(super) fn marked(
    connection: &MySqlConnection,
    database: &str,
) -> std::result::Result<Option<String>, Error> {
    let table = format!("{}.{}", literal::name(database), literal::name(MARK));
    connection.text(&format!("SELECT dump FROM {table} LIMIT 1"))
}

/// Removes the mark. The database is loaded, and the caller has noted that.
///
/// # Errors
///
/// As the server says.
pub fn unmark(server: &MySqlServer, database: &str) -> std::result::Result<(), Error> {
    let table = format!("{}.{}", literal::name(database), literal::name(MARK));
    MySqlConnection::open(server)?.run(&format!("DROP TABLE IF EXISTS {table}"))
}
