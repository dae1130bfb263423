-- An account that can read Seafile's databases, and nothing else. Put a long random word in the place
-- of CHANGE-ME. '%' is needed because the server sees docker's address, not the host's.
CREATE USER 'seawall'@'%' IDENTIFIED BY 'CHANGE-ME';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `ccnet_db`.* TO 'seawall'@'%';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `seafile_db`.* TO 'seawall'@'%';
GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON `seahub_db`.* TO 'seawall'@'%';
