#!/usr/bin/env node
// Prints the prompts from which SmolLM2 writes the tiny model's training text, one per line: short questions about
// animals. See scripts/tiny/README.md.

const animals =
  `ant bat bear beaver bee bird butterfly camel cat chicken cow crab crocodile crow deer dog dolphin donkey
 duck eagle elephant fish fox frog giraffe goat goose hamster hedgehog hippo horse kangaroo koala lion lizard monkey
 mouse octopus otter owl panda parrot penguin pig rabbit rat seal shark sheep snail snake spider squirrel swan tiger
 turtle whale wolf worm zebra`
    .trim()
    .split(/\s+/);

const a = (animal) => `${/^[aeiou]/.test(animal) ? "an" : "a"} ${animal}`;

const questions = [
  (x) => `What is ${a(x)}? Answer in one sentence.`,
  (x) => `Tell me about the ${x} in two short sentences.`,
  (x) => `What does ${a(x)} eat? Answer in one sentence.`,
  (x) => `Where does ${a(x)} live? Answer in one sentence.`,
  (x) => `What does ${a(x)} look like? Answer in two sentences.`,
  (x) => `How does ${a(x)} move? Answer in one sentence.`,
  (x) => `Why do people like the ${x}? Answer in two sentences.`,
  (x) => `Write a very short story about ${a(x)}, in three sentences.`,
  (x) => `Write a very short story about ${a(x)} and a child, in three sentences.`,
  (x) => `What can we learn from the ${x}? Answer in one sentence.`,
  (x) => `Is ${a(x)} dangerous? Answer in one sentence.`,
  (x) => `How big is ${a(x)}? Answer in one sentence.`,
  (x) => `What sound does ${a(x)} make? Answer in one sentence.`,
  (x) => `Write two sentences about the day of ${a(x)}.`,
  (x) => `What does ${a(x)} do at night? Answer in one sentence.`,
  (x) => `How does ${a(x)} care for its young? Answer in two sentences.`,
];

for (const question of questions) for (const animal of animals) process.stdout.write(`${question(animal)}\n`);
