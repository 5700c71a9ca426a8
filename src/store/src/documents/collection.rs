//! Where does a document belong, and which file is its? Names come from clients, files must not.

use super::DIR;
use super::error::DocumentError;
use std::fmt;
use std::sync::Arc;
use strandline_model::TenantId;

/// Longest name of a document. As a file name it takes twice as many bytes, and file systems end at 255.
pub const MAX_NAME_BYTES: usize = 120;
/// Longest kind. With a tenant's name (at most 150 bytes) it makes the name of a folder.
pub const MAX_KIND_BYTES: usize = 32;

const EXTENSION: &str = ".doc";
const TEMPORARY: &str = ".tmp";
/// Stands between kind and tenant in the name of a folder; neither can hold it.
const OF: char = '@';

/// Whose documents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The process itself: no tenant can fill the room of these.
    Process,
    /// One tenant.
    Tenant(TenantId),
}

/// The documents of one owner and one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Collection {
    kind: Arc<str>,
    owner: Owner,
}

impl Collection {
    /// Documents of a kind, which the program chooses (`alert-rules`): lower-case ASCII letters, digits and `-`, a letter
    /// first, at most [`MAX_KIND_BYTES`].
    pub fn new(owner: Owner, kind: &str) -> Result<Self, DocumentError> {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if kind.len() > MAX_KIND_BYTES
            || !kind.starts_with(|c: char| c.is_ascii_lowercase())
            || !kind.chars().all(known)
        {
            return Err(DocumentError::Kind);
        }
        Ok(Self { kind: kind.into(), owner })
    }

    /// Documents of a tenant.
    pub fn of_tenant(tenant: &TenantId, kind: &str) -> Result<Self, DocumentError> {
        Self::new(Owner::Tenant(tenant.clone()), kind)
    }

    /// Documents of the process.
    pub fn of_process(kind: &str) -> Result<Self, DocumentError> {
        Self::new(Owner::Process, kind)
    }

    /// Whose documents.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// What kind of documents.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The tenant's name; empty for the process.
    pub(super) fn owner_text(&self) -> &str {
        match &self.owner {
            Owner::Process => "",
            Owner::Tenant(tenant) => tenant.as_str(),
        }
    }

    /// The folder, relative to the data directory.
    pub(super) fn folder(&self) -> String {
        match &self.owner {
            Owner::Process => format!("{DIR}/{}", self.kind),
            Owner::Tenant(tenant) => format!("{DIR}/{}{OF}{tenant}", self.kind),
        }
    }

    /// The collection of a folder, as [`Disk::list`](crate::disk::Disk::list) names it; `None` if it is none of ours.
    pub(super) fn from_listed(name: &str) -> Option<Self> {
        let name = name.strip_suffix('/')?;
        match name.split_once(OF) {
            None => Self::of_process(name).ok(),
            Some((kind, tenant)) => Self::of_tenant(&TenantId::new(tenant).ok()?, kind).ok(),
        }
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.owner {
            Owner::Process => f.write_str(&self.kind),
            Owner::Tenant(tenant) => write!(f, "{} of tenant {tenant}", self.kind),
        }
    }
}

/// Refuses a name that is empty or too long. Any other text is a name.
pub(super) fn check_name(name: &str) -> Result<(), DocumentError> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(DocumentError::Name);
    }
    Ok(())
}

/// What a file in a collection's folder is, by its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileName {
    /// The document of this name.
    Document(String),
    /// A put that was cut off.
    Leftover,
    /// None of ours.
    Foreign,
}

impl FileName {
    pub(super) fn of(file: &str) -> Self {
        let name = |extension| file.strip_suffix(extension).and_then(unhex);
        match (name(EXTENSION), name(TEMPORARY)) {
            (Some(name), _) => Self::Document(name),
            (None, Some(_)) => Self::Leftover,
            (None, None) => Self::Foreign,
        }
    }
}

/// The file of a document: its name in lower-case hexadecimal digits, so that no name can leave the folder, no two names are
/// one file, not even where upper and lower case are the same, and files are sorted as names are.
pub(super) fn file_name(name: &str) -> String {
    hex(name) + EXTENSION
}

/// The file that is written before it takes the document's place.
pub(super) fn temporary_name(name: &str) -> String {
    hex(name) + TEMPORARY
}

fn hex(name: &str) -> String {
    use fmt::Write;
    let mut digits = String::with_capacity(name.len() * 2 + EXTENSION.len());
    for byte in name.bytes() {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

fn unhex(digits: &str) -> Option<String> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    let name = String::from_utf8(bytes.collect::<Option<Vec<u8>>>()?).ok()?;
    check_name(&name).ok().map(|()| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kinds_are_chosen_by_the_program_and_checked_all_the_same() {
        for bad in ["", "Rules", "9", "-a", "a/b", "a.b", "a@b", "ä", &"a".repeat(33)] {
            assert!(matches!(Collection::of_process(bad), Err(DocumentError::Kind)), "{bad:?}");
        }
        assert_eq!(Collection::of_process(&"a".repeat(32)).unwrap().kind().len(), 32);
    }

    #[test]
    fn a_folder_tells_whose_documents_it_holds() {
        let tenant = TenantId::new("a.b-c*'()!").unwrap();
        for collection in
            [Collection::of_tenant(&tenant, "views-2").unwrap(), Collection::of_process("views-2").unwrap()]
        {
            let folder = collection.folder();
            let listed = format!("{}/", folder.strip_prefix("documents/").unwrap());
            assert_eq!(Collection::from_listed(&listed), Some(collection));
        }
        for foreign in ["views", "Views/", "views@/", "views@../", "lost+found/", "@a/"] {
            assert_eq!(Collection::from_listed(foreign), None, "{foreign:?}");
        }
        let longest =
            Collection::of_tenant(&TenantId::new(&"t".repeat(150)).unwrap(), &"k".repeat(32)).unwrap();
        assert!(longest.folder().rsplit('/').next().unwrap().len() <= 255);
    }

    #[test]
    fn files_that_are_none_of_ours_are_told_apart() {
        for foreign in ["", ".doc", "6.doc", "6A.doc", "zz.doc", "ff.doc", "61.bak", "61.doc.bak", "README"] {
            assert_eq!(FileName::of(foreign), FileName::Foreign, "{foreign:?}");
        }
        assert_eq!(FileName::of("61.tmp"), FileName::Leftover);
        assert_eq!(FileName::of("61.doc"), FileName::Document("a".to_owned()));
    }

    proptest! {
        #[test]
        fn every_name_is_one_file_in_its_folder(
            name in prop_oneof![r"(\.|/|\\|a|A|\x00|%2e| ){1,8}", any::<String>(), "[a/.]{115,125}"],
            other in "[aA./]{1,3}",
        ) {
            prop_assume!(check_name(&name).is_ok());
            let file = file_name(&name);
            prop_assert!(file.len() <= 255 && file.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.'));
            prop_assert_eq!(FileName::of(&file), FileName::Document(name.clone()));
            prop_assert_eq!(file_name(&other).cmp(&file), other.cmp(&name));
        }
    }
}
