"""Grouping of joint candidates into people by their tags (Newell et al. 2017, Associative Embedding, section 3.2)."""

from __future__ import annotations

import math

import numpy as np

from higherhrnet.decode.assignment import assign
from higherhrnet.decode.cache import inlined, inner

_PADDING_COST = 1e10  # lib/core/group.py: no real cost comes near, so a padding column is taken only for want of people


@inlined
def group(counts, points, values, tags, order, max_people, tag_threshold, use_detection_value, ignore_too_much):
    """Join candidates into people, joint by joint in ``order``.

    Parameters
    ----------
    counts, points, values, tags : the candidates as peaks.find returns them
    order : the joints in the order in which they are joined
    max_people : later candidates are matched against this many people, the first founded
    tag_threshold : a candidate nearer than this in tag space joins its person, another founds a new one
    use_detection_value : cost is round(distance) * 100 - value instead of the distance
    ignore_too_much : once ``max_people`` are founded, drop later joints' candidates instead of matching them

    Returns
    -------
    people : float32 [P, K, 3], x, y, value; value 0 where the person lacks the joint; P may exceed ``max_people``
    people_tags : float32 [P, K, 2], 0 where the joint is missing
    means : float32 [P, 2], of each person's tags where the value is above 0; NaN where it nowhere is
    """
    joints = len(counts)
    most = 0
    for joint in order:
        most += counts[joint]
    people = np.zeros((most, joints, 3), np.float32)
    people_tags = np.zeros((most, joints, 2), np.float32)
    keys = np.empty(most, np.float32)
    sums = np.empty((most, 2), np.float32)  # of the tags joined since founding, added one by one as np.mean does
    members = np.empty(most, np.int64)
    found = 0

    for joint in order:
        count = counts[joint]
        known = min(found, max_people)
        if count == 0 or (ignore_too_much and found > 0 and known == max_people):
            continue
        distances = np.empty((count, known))
        costs = np.full((count, max(known, count)), _PADDING_COST)
        for column in range(known):
            mean = np.float64(sums[column, 0] / np.float32(members[column]))
            mirror_mean = np.float64(sums[column, 1] / np.float32(members[column]))
            for row in range(count):
                # float64 from here, as the reference: costs that tie there must tie here.
                a = np.float64(tags[joint, row, 0]) - mean
                b = np.float64(tags[joint, row, 1]) - mirror_mean
                distance = math.sqrt(a * a + b * b)
                distances[row, column] = distance
                if use_detection_value:
                    costs[row, column] = np.rint(distance) * 100 - np.float64(values[joint, row])
                else:
                    costs[row, column] = distance
        columns = assign(costs) if found > 0 else np.full(count, known)
        for row in range(count):
            person = columns[row]
            if not (person < known and distances[row, person] < tag_threshold):
                # People are keyed by the first component of the founding tag: an equal key takes that person over,
                # keeps its joints and forgets its tags, as the reference does.
                key = tags[joint, row, 0]
                person = 0
                while person < found and keys[person] != key:
                    person += 1
                found = max(found, person + 1)
                keys[person] = key
                sums[person, 0] = sums[person, 1] = 0
                members[person] = 0
            people[person, joint, 0] = points[joint, row, 0]
            people[person, joint, 1] = points[joint, row, 1]
            people[person, joint, 2] = values[joint, row]
            for i in range(2):
                people_tags[person, joint, i] = tags[joint, row, i]
                sums[person, i] += tags[joint, row, i]
            members[person] += 1
    people, people_tags = people[:found].copy(), people_tags[:found].copy()
    return people, people_tags, _means(people, people_tags)


@inner
def _means(people, people_tags):
    """Each person's mean tag, summed in joint order as np.mean does."""
    means = np.zeros((people.shape[0], 2), np.float32)
    for person in range(people.shape[0]):
        members = np.float32(0)
        for joint in range(people.shape[1]):
            if people[person, joint, 2] > 0:
                members += np.float32(1)
                means[person, 0] += people_tags[person, joint, 0]
                means[person, 1] += people_tags[person, joint, 1]
        for i in range(2):
            means[person, i] = means[person, i] / members if members > 0 else np.nan
    return means
