"""What the back end for MariaDB and MySQL is made of."""
