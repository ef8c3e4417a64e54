"""Names of a sample class, with the accents, apostrophes, hyphens, commas and blanks that real lists have."""

GIVEN = (
    "Aaliyah", "Adaeze", "Agnieszka", "Åsa", "Aleksandr", "Amélie", "Ana María", "Anh", "Björn", "Caoimhe",
    "Chiara", "Çağla", "Daan", "Dilnoza", "Đorđe", "Eleni", "Émile", "Fatoumata", "Fionnuala", "Giulia",
    "Guðrún", "Hana", "Héctor", "Hye-jin", "Ifeoma", "İpek", "Ingrid", "Jean-Luc", "João", "José Ángel",
    "Jürgen", "Kateryna", "Khadija", "Kofi", "Kwame", "Łukasz", "Lê Minh", "Lupe", "Mahbub", "Małgorzata",
    "Mbali", "Mehmet", "Minh Châu", "Nāhua", "Niamh", "Noël", "Nurul", "Ólafur", "Oksana", "Paweł", "Priya",
    "Radosław", "Ravi", "Renée", "Rosalía", "Sabine", "Saoirse", "Seung-ho", "Siobhán", "Søren", "Tadhg",
    "Tomáš", "Tuğçe", "Valentina", "Wanjiru", "Xiomara", "Yuki", "Yusuf", "Zeynep", "Živa",
)  # fmt: skip

FAMILY = (
    "Abdi", "Acosta", "Adeyemi", "Al-Masri", "Bagheri", "Bălan", "Banerjee", "Bergström", "Bianchi",
    "Castañeda", "Černý", "Chukwu", "Cohen", "D'Angelo", "da Silva", "de la Cruz", "Đặng", "Dubois",
    "El Amrani", "Fernández", "Fitzgerald, Jr.", "García Márquez", "Gunnarsdóttir", "Haile", "Hernández",
    "Horvat", "Ivanova", "Jensen", "Kahananui", "Kaya", "Kenyatta", "Kim", "Kovačević", "Kowalczyk", "Lefèvre",
    "Li", "M'Baye", "MacDonald", "Mensah", "Molnár", "Müller-Lüdenscheidt", "N'Diaye", "Nakamura", "Nguyễn",
    "Novák", "Núñez", "Ó Súilleabháin", "O'Brien", "Okonkwo", "Öztürk", "Papadopoulou", "Park", "Petrović",
    "Quispe", "Rahman", "Ramírez", "Roy, III", "Șerban", "Sato", "Schröder", "Singh", "St. John", "Świątek",
    "Tamm", "Tkachenko", "Ueda", "van den Berg", "Wang", "Yılmaz", "Þorsteinsson",
)  # fmt: skip
