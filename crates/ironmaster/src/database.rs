//! The database that a configuration names.

use ironmaster_config::{DatabaseSettings, Password, Settings};
use ironmaster_master::MasterOptions;
use ironmaster_store::{Database, PostgresAddress};

use crate::failure::Failure;

pub(crate) fn of(settings: &Settings) -> Result<Database, Failure> {
    match &settings.database {
        DatabaseSettings::Sqlite => Ok(Database::Sqlite(MasterOptions::sqlite(&settings.state_dir))),
        DatabaseSettings::Postgres { url, password } => {
            let password = password.as_ref().map(Password::reveal);
            let address = PostgresAddress::new(url, password)
                .map_err(|error| Failure::because("`database` in [master] cannot be used", &error))?;
            Ok(Database::Postgres(Box::new(address)))
        }
    }
}
