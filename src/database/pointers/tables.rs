//! Seafile's tables that matter to a backup, and their columns.

use super::rows::PointerTable;

/// The names of all these tables.
pub(in crate::database) const NAMES: [&str; 13] = [
    LIVE.name,
    BRANCHES.name,
    TRASH.name,
    GARBAGE.name,
    VIRTUAL.name,
    INFO.name,
    OWNERS.name,
    ORGANISATION_OWNERS.name,
    VALID_SINCE.name,
    HISTORY_LIMITS.name,
    STORAGE_CLASSES.name,
    GC_IDS.name,
    SYSTEM.name,
];

/// Libraries in use, virtual ones included.
pub(super) const LIVE: PointerTable<1> =
    PointerTable { name: "Repo", columns: ["repo_id"], needed: true };
/// The newest commit of each branch of each library.
pub(super) const BRANCHES: PointerTable<3> =
    PointerTable { name: "Branch", columns: ["repo_id", "name", "commit_id"], needed: true };
/// Libraries in the trash, with the only pointer to their data.
pub(super) const TRASH: PointerTable<5> = PointerTable {
    name: "RepoTrash",
    columns: ["repo_id", "head_id", "repo_name", "owner_id", "del_time"],
    needed: false,
};
/// Libraries deleted for good.
pub(super) const GARBAGE: PointerTable<1> = optional("GarbageRepos", ["repo_id"]);
/// Shared folders that are libraries of their own.
pub(super) const VIRTUAL: PointerTable<4> =
    optional("VirtualRepo", ["repo_id", "origin_repo", "path", "base_commit"]);
/// What Seafile shows of a library. This is a cache, which may lack rows.
pub(super) const INFO: PointerTable<4> =
    optional("RepoInfo", ["repo_id", "name", "version", "is_encrypted"]);
/// Owners of libraries.
pub(super) const OWNERS: PointerTable<2> = optional("RepoOwner", ["repo_id", "owner_id"]);
/// Owners of libraries that belong to an organisation (Pro).
pub(super) const ORGANISATION_OWNERS: PointerTable<2> = optional("OrgRepo", ["repo_id", "user"]);
/// The time from which a library's history is complete.
pub(super) const VALID_SINCE: PointerTable<2> =
    optional("RepoValidSince", ["repo_id", "timestamp"]);
/// For how many days history is kept.
pub(super) const HISTORY_LIMITS: PointerTable<2> =
    optional("RepoHistoryLimit", ["repo_id", "days"]);
/// The storage class of a library's objects, with several storages (Pro).
pub(super) const STORAGE_CLASSES: PointerTable<2> =
    optional("RepoStorageId", ["repo_id", "storage_id"]);
/// A value that each online garbage collection changes.
pub(super) const GC_IDS: PointerTable<2> = optional("GCID", ["repo_id", "gc_id"]);
/// Settings of the whole installation.
pub(super) const SYSTEM: PointerTable<2> = optional("SystemInfo", ["info_key", "info_value"]);

const fn optional<const COLUMNS: usize>(
    name: &'static str,
    columns: [&'static str; COLUMNS],
) -> PointerTable<COLUMNS> {
    PointerTable { name, columns, needed: false }
}
