/** What chats, lists, passages and chats of several turns are about. Each fits "tell me about …". */
export const topics: readonly string[] = [
  // everyday life
  ...["making new friends", "living alone for the first time", "moving to a new city", "getting up early"],
  ...["keeping a diary", "saving money on groceries", "doing the laundry", "cleaning a small kitchen"],
  ...["choosing a birthday present", "hosting a dinner party", "sharing a flat", "neighbours who are noisy"],
  ...["losing your keys", "waiting for a late bus", "fixing a dripping tap", "painting a bedroom"],
  ...["packing a suitcase", "organising a wardrobe", "buying a second-hand car", "learning to drive"],
  ...["spending less time on the phone", "rainy Sundays", "growing older", "small talk"],
  // food and drink
  ...["baking bread", "pancakes", "green tea", "coffee", "vegetable soup", "pizza dough", "cooking rice"],
  ...["spicy food", "school lunches", "a vegetarian barbecue", "chocolate", "making jam", "olive oil", "sushi"],
  ...["breakfast", "street food", "potatoes", "eggs", "cheese", "leftovers", "homemade pasta", "honey"],
  // animals and nature
  ...["cats", "dogs", "honey bees", "whales", "penguins", "elephants", "owls", "spiders", "butterflies", "horses"],
  ...["octopuses", "ants", "wolves", "sea turtles", "hedgehogs", "goldfish", "parrots", "sharks", "frogs", "bats"],
  ...["oak trees", "mushrooms", "roses", "the rainforest", "deserts", "coral reefs", "volcanoes", "rivers"],
  ...["the first snow", "thunderstorms", "autumn leaves", "a garden in spring", "mountains", "the seaside"],
  // science
  ...["gravity", "photosynthesis", "black holes", "the moon", "the solar system", "atoms", "electricity", "magnets"],
  ...["the water cycle", "rainbows", "earthquakes", "evolution", "dinosaurs", "DNA", "vaccines", "the human heart"],
  ...["sleep", "memory", "the brain", "dreams", "sound waves", "light", "heat", "the speed of light", "tides"],
  ...["ice ages", "fossils", "the periodic table", "chemical reactions", "plastic", "batteries", "climate change"],
  ...["probability", "prime numbers", "fractions", "geometry", "statistics", "infinity", "the number pi"],
  // technology
  ...["solar panels", "electric cars", "the internet", "computers", "mobile phones", "robots", "3D printing"],
  ...["artificial intelligence", "passwords", "social media", "video calls", "satellites", "wind turbines"],
  ...["bicycles", "trains", "aeroplanes", "bridges", "lifts", "refrigerators", "digital photography", "podcasts"],
  ...["online shopping", "open-source software", "databases", "search engines", "spreadsheets", "e-books"],
  // history and society
  ...["ancient Egypt", "the Roman Empire", "the Middle Ages", "the printing press", "the Industrial Revolution"],
  ...["the Silk Road", "the Vikings", "the first moon landing", "the Olympic Games", "lighthouses", "castles"],
  ...["the history of writing", "the history of money", "explorers", "pirates", "knights", "the steam engine"],
  ...["elections", "taxes", "human rights", "public libraries", "museums", "volunteering", "city planning"],
  ...["public transport", "recycling", "minimum wages", "free speech", "immigration", "inflation", "trade"],
  // work and money
  ...["job interviews", "writing a CV", "working from home", "a difficult boss", "asking for a raise"],
  ...["starting a small business", "running meetings", "teamwork", "deadlines", "first day at work", "burnout"],
  ...["customer service", "presentations", "email at work", "freelancing", "household budgets", "credit cards"],
  ...["student loans", "renting a flat", "insurance", "retirement", "marketing on a small budget", "negotiation"],
  // school and learning
  ...["learning a language", "studying for exams", "homework", "writing essays", "reading more books"],
  ...["learning the guitar", "maths anxiety", "group projects", "choosing a university", "kindergarten"],
  ...["note-taking", "public speaking", "handwriting", "spelling", "school uniforms", "science fairs", "chess"],
  // health and mind
  ...["stress", "healthy eating", "back pain", "running", "yoga", "swimming", "walking", "headaches", "colds"],
  ...["drinking enough water", "quitting smoking", "good posture", "meditation", "loneliness", "shyness"],
  ...["self-confidence", "procrastination", "anger", "gratitude", "grief", "motivation", "patience", "habits"],
  ...["screen time for children", "first aid", "sunburn", "allergies", "going to the dentist", "glasses"],
  // people
  ...["friendship", "first dates", "weddings", "grandparents", "siblings", "raising teenagers", "a new baby"],
  ...["apologising", "trust", "long-distance relationships", "jealousy", "forgiveness", "teachers", "heroes"],
  ...["good manners", "gift giving", "family traditions", "honesty", "leadership", "kindness", "humour"],
  // leisure and arts
  ...["camping", "hiking", "fishing", "football", "tennis", "basketball", "cycling", "skiing", "board games"],
  ...["video games", "gardening", "knitting", "drawing", "photography", "watercolours", "pottery", "dancing"],
  ...["jazz", "classical music", "singing in a choir", "the piano", "films", "science fiction", "fairy tales"],
  ...["poetry", "detective stories", "theatre", "comic books", "stand-up comedy", "birdwatching", "astronomy"],
  ...["puzzles", "magic tricks", "collecting stamps", "road trips", "bird feeders", "kites", "sandcastles"],
  // places and travel
  ...["Japan", "Italy", "Brazil", "Canada", "Kenya", "India", "Iceland", "Mexico", "New Zealand", "Paris"],
  ...["London", "New York", "Venice", "the Sahara", "the Amazon", "Antarctica", "the Alps", "a small village"],
  ...["travelling alone", "travelling with children", "airports", "youth hostels", "night trains", "jet lag"],
  ...["a day at the zoo", "a weekend by the lake", "farmers' markets", "haunted houses", "a desert island"],
];

/** Problems of the tasks about code: each completes "Write a function that …". */
export const problems: readonly string[] = [
  ...["adds two numbers", "reverses a string", "checks whether a word is a palindrome", "counts the vowels in a text"],
  ...["finds the largest number in a list", "finds the smallest two numbers of a list", "sorts a list of names"],
  ...["removes duplicates from a list", "computes the factorial of a number", "prints the Fibonacci numbers below n"],
  ...["checks whether a number is prime", "lists all prime numbers up to n", "sums the digits of a number"],
  ...["converts Celsius to Fahrenheit", "converts a number to binary", "converts Roman numerals to numbers"],
  ...["counts how often each word occurs in a text", "finds the longest word of a sentence", "merges two sorted lists"],
  ...["searches a sorted list by bisection", "sorts numbers with bubble sort", "sorts numbers with quicksort"],
  ...["computes the average of a list", "computes the median of a list", "finds the most frequent element of a list"],
  ...[
    "reads a CSV file and sums a column",
    "reads a file line by line and counts the lines",
    "writes a list to a file",
  ],
  ...["parses a date such as 2024-05-17", "computes the days between two dates", "says whether a year is a leap year"],
  ...["checks whether brackets are balanced", "checks whether two words are anagrams", "capitalises every word"],
  ...["generates a random password", "rolls two dice a thousand times", "shuffles a deck of cards"],
  ...["validates an email address", "extracts all links from a text", "replaces every number in a text by a star"],
  ...["flattens a nested list", "splits a list into chunks of n", "rotates a list by k places", "transposes a matrix"],
  ...["multiplies two matrices", "finds the greatest common divisor", "computes compound interest", "rounds to cents"],
  ...[
    "implements a stack",
    "implements a queue with two stacks",
    "implements a linked list",
    "inserts into a binary tree",
  ],
  ...["walks through a graph breadth first", "finds the shortest path in a maze", "solves the Tower of Hanoi"],
  ...["counts down from ten", "prints a multiplication table", "prints a triangle of stars", "plays FizzBuzz"],
  ...[
    "plays rock, paper, scissors",
    "guesses a number between 1 and 100",
    "keeps a to-do list",
    "keeps a shopping cart",
  ],
  ...[
    "fetches a web page and prints its title",
    "sends a JSON request",
    "retries a request three times",
    "caches results",
  ],
  ...["encrypts a text with the Caesar cipher", "compresses a string by counting letters", "formats a price"],
  ...["groups people by age", "filters a list of products by price", "finds pairs that sum to a target"],
  ...["draws a bar chart of a list as text", "measures how long another function takes", "logs errors to a file"],
];

export const languages: readonly string[] = [
  ...["Python", "Python", "Python", "JavaScript", "JavaScript", "TypeScript", "Java", "C", "C++", "Go", "Rust", "SQL"],
  ...["Bash", "Ruby"],
];
